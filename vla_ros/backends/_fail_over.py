# SPDX-License-Identifier: Apache-2.0
"""Several servers of one policy, of which one is asked until it fails.

An observation that gets no answer goes to the next server within the same call, in time for its
chunk where that can be. Who works is kept: a server that comes back waits until it is needed. One
thread, as for every backend; each server is watched in a thread of its own besides.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import TypeVar

from vla_ros.backends._answer_times import AnswerTimes
from vla_ros.backends._remote import RemoteBackend, RemoteConfig
from vla_ros.backends._watch import Watch
from vla_ros.backends.base import PolicyBackend, PolicyInfo
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.errors import (
    BackendError,
    BackendSilent,
    BackendUnavailable,
    ConfigError,
    VlaRosError,
)
from vla_ros.core.observation import Observation, Prefix

_LOG = logging.getLogger(__name__)
T = TypeVar("T")

_CHECK_EVERY_S = 1.0
# A server that works off one request after another gives its sign of life after the present one.
_CHECK_TIMEOUT_S = 2.0
# How long a server is waited for that is not needed yet.
_STANDBY_S = 1.0
# How long checks are waited for that are under way at the end.
_CLOSE_S = 0.5


class _OtherPolicyError(ConfigError):
    """A server's policy is not the one that was described."""


@dataclass(slots=True, eq=False)
class _Server:
    """One of the servers.

    Attributes:
        backend: How it is asked.
        watch: Whether it is alive.
        knows_other: Whether it may remember another episode, or a part of this one alone.
        is_warm: Whether it has answered already: the first answer takes longer than all others.
        refusal: Why it is not asked, its policy being another; None: it may be.
    """

    backend: RemoteBackend
    watch: Watch
    knows_other: bool = False
    is_warm: bool = False
    refusal: _OtherPolicyError | None = None

    def connect(self, within_s: float) -> PolicyInfo:
        """Shake hands afresh."""
        return self._meet(self.backend.connect, within_s)

    def reset(self, until_s: float) -> None:
        """Tell it that an episode begins."""
        self._meet(self.backend.reset, _left_s(until_s))
        self.knows_other = False

    def infer(self, observation: Observation, prefix: Prefix | None, until_s: float) -> ActionChunk:
        """Its answer, as if it had never been shown anything but this episode."""
        if self.knows_other:
            self.reset(until_s)
        self.backend.timeout_s = _left_s(until_s)
        try:
            return self.backend.infer(observation, prefix)
        except ConfigError:
            # It may be another server by now, which the next reset finds out.
            self.knows_other = True
            raise

    def fail(self, error: VlaRosError) -> VlaRosError:
        """Note that it gave no answer; the error with its address."""
        self.knows_other, self.is_warm = True, False
        self.watch.tell(alive=False)
        # It is tried again when its turn comes, not when its connection's pause is over. One that
        # is silent keeps its connection: until the late answer has come it is still busy.
        if not isinstance(error, BackendSilent):
            self.backend.close()
        return type(error)(self._named(error))

    def _meet(self, how: Callable[[], T], within_s: float) -> T:
        self.backend.timeout_s, self.is_warm = within_s, False
        try:
            done = how()
        except ConfigError as error:
            if self.refusal is None:
                _LOG.warning("policy server %s is not used: %s", self.backend.address, error)
            self.refusal = _OtherPolicyError(self._named(error))
            raise self.refusal from error
        self.refusal = None
        return done

    def _named(self, error: VlaRosError) -> str:
        text, address = str(error), self.backend.address
        return text if address in text else f"{address}: {text}"


class FailOver(PolicyBackend):
    """Asks one of several servers of the same policy.

    Attributes:
        in_use: ``host:port`` of the server that is asked first. Any thread may read it.
    """

    Config = RemoteConfig

    def __init__(self, backends: Sequence[RemoteBackend]) -> None:
        """Keep the servers; connect to none yet.

        Args:
            backends: One for each server, with the same facts; the first one is asked first.
        """
        first = backends[0]
        super().__init__(first.config, robot=first.robot, policy=first.policy, now_ns=first.now_ns)
        self._timeout_s: float = first.config.timeout_s
        self._servers = [_Server(backend, self._new_watch(backend)) for backend in backends]
        self._watching = False
        self._times = AnswerTimes()
        self._used = self._servers[0]
        self.in_use = first.address

    @property
    def name(self) -> str:
        """That of the servers' backend."""
        return self._servers[0].backend.name

    def connect(self) -> PolicyInfo:
        """Connect to one of the servers, and make the others ready as far as they are there.

        Raises:
            BackendUnavailable: No server answers; each is named, with its reason.
            BackendError: What answers is not what was expected.
            ConfigError: No server has the policy that was described.
        """
        self._watch()
        errors: list[VlaRosError] = []
        for server in self._in_turn():
            try:
                info = server.connect(self._timeout_s)
            except (BackendError, _OtherPolicyError) as error:
                errors.append(server.fail(error))
                continue
            self._use(server)
            self._make_others_ready()
            text = f"one of {len(self._servers)} servers, at first {info.description}"
            return replace(info, description=text)
        raise _together(errors)

    def infer(self, observation: Observation, prefix: Prefix | None = None) -> ActionChunk:
        """The chunk for an observation, from the first server that answers; see ``PolicyBackend``.

        It takes at most ``timeout_s`` altogether.

        Raises:
            BackendUnavailable: No server answers; each is named, with its reason.
        """

        def ask(server: _Server, until_s: float) -> ActionChunk:
            started_s = time.monotonic()
            chunk = server.infer(observation, prefix, until_s)
            if server.is_warm:
                self._times.add(time.monotonic() - started_s)
            server.is_warm = True
            return chunk

        request = observation.request
        runs_out_ns = request.runs_out_ns if request is not None else None
        left_s = inf if runs_out_ns is None else (runs_out_ns - self.now_ns()) * 1e-9
        return self._first(ask, patience_s=self._times.patience_s(left_s))

    def reset(self) -> None:
        """Tell the server in use that an episode begins; the others, when they are asked.

        Raises:
            BackendError: No server could be told.
        """
        for server in self._servers:
            server.knows_other = True
        self._first(_Server.reset, patience_s=self._times.patience_s())

    def close(self) -> None:
        """Let go of all servers, and watch them no more."""
        if self._watching:
            for server in self._servers:
                server.watch.end()
            until_s = time.monotonic() + _CLOSE_S
            for server in self._servers:
                server.watch.join(_left_s(until_s))
                server.watch = self._new_watch(server.backend)
        self._watching = False
        for server in self._servers:
            server.backend.close()

    def another(self) -> FailOver:
        """A second one with the same servers; see ``PolicyBackend``."""
        return FailOver([server.backend.another() for server in self._servers])

    def _new_watch(self, backend: RemoteBackend) -> Watch:
        within_s = min(self._timeout_s, _CHECK_TIMEOUT_S)
        return Watch(backend.another(), every_s=_CHECK_EVERY_S, timeout_s=within_s)

    def _watch(self) -> None:
        if not self._watching:
            self._watching = True
            for server in self._servers:
                server.watch.start()

    def _in_turn(self) -> list[_Server]:
        """The servers, those that are alive first: the one in use, and on from there."""
        at = self._servers.index(self._used)
        turns = [*self._servers[at:], *self._servers[:at]]
        return sorted(turns, key=lambda server: not server.watch.alive)

    def _use(self, server: _Server) -> None:
        server.watch.tell(alive=True)
        if server is not self._used:
            _LOG.warning("policy server %s is used from now on", server.backend.address)
        self._used = server
        self.in_use = server.backend.address

    def _make_others_ready(self) -> None:
        """Meets the servers that are not needed yet, so that they can take over at once."""
        for server in self._servers:
            if server is self._used:
                continue
            try:
                server.reset(time.monotonic() + min(self._timeout_s, _STANDBY_S))
            except (BackendError, _OtherPolicyError) as error:
                _LOG.warning("a policy server is not ready: %s", server.fail(error))

    def _first(self, ask: Callable[[_Server, float], T], *, patience_s: float) -> T:
        """What the first server gives that answers.

        Args:
            ask: Asks a server until a moment.
            patience_s: How long a server is waited for while there is another one to ask; inf: it
                is not known yet how long that should be.
        """
        deadline_s = time.monotonic() + self._timeout_s
        errors: list[VlaRosError] = [s.refusal for s in self._servers if s.refusal is not None]
        servers = [server for server in self._in_turn() if server.refusal is None]
        for index, server in enumerate(servers):
            now_s = time.monotonic()
            left_s = deadline_s - now_s
            if left_s <= 0:
                errors.append(BackendSilent(f"no time was left for {server.backend.address}"))
                continue
            if server is not servers[-1]:
                # All have an equal share of the time before it is known how much they need.
                share_s = left_s / (len(servers) - index)
                left_s = min(left_s, share_s if patience_s == inf else patience_s)
            try:
                answer = ask(server, now_s + left_s)
            except (BackendUnavailable, _OtherPolicyError) as error:
                errors.append(server.fail(error))
                _LOG.warning("%s", errors[-1])
                continue
            self._use(server)
            return answer
        # Who was refused for another's sake gets another chance.
        for server in self._servers:
            server.refusal = None
        raise _together(errors)


def _left_s(until_s: float) -> float:
    """The time until a moment of ``time.monotonic``."""
    return max(until_s - time.monotonic(), 0.0)


def _together(errors: Sequence[VlaRosError]) -> VlaRosError:
    """One error of several, of their kind where it is one."""
    kinds = {type(error) for error in errors}
    kind = kinds.pop() if len(kinds) == 1 else BackendUnavailable
    return kind("; ".join(str(error) for error in errors))
