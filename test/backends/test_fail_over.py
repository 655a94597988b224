# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from test.support.fake_remotes import FakeServer, StillWatch, fake_remote
from test.support.golden_backend import GoldenBackend
from test.support.gr00t_samples import STAMP_NS, moves, observation, policy, robot
from test.support.protocols import PROTOCOLS, Spoken
from test.support.served import served
from test.support.tcp_proxy import TcpProxy
from vla_ros.backends import _fail_over
from vla_ros.backends._fail_over import FailOver
from vla_ros.backends.registry import new_backend
from vla_ros.core.errors import (
    BackendSilent,
    BackendUnavailable,
    ConfigError,
    RemotePolicyError,
)
from vla_ros.core.observation import Observation, ObservationRequest
from vla_ros.core.params import build

TIMEOUT_S = 5.0
BAD_STATE = {"state_names": (), "state": []}


class Ring:
    """Some fake servers, and one backend for all of them."""

    def __init__(self, count: int) -> None:
        self.now_s = 1000.0
        self.servers = [FakeServer(wait=self._wait) for _ in range(count)]
        self.backend = FailOver(
            [
                fake_remote(server, port=index + 1, timeout_s=TIMEOUT_S, now_ns=self.now_ns)
                for index, server in enumerate(self.servers)
            ]
        )
        self.watches: list[StillWatch] = [each.watch for each in self.backend._servers]
        self.shown = 0

    def _wait(self, seconds: float) -> None:
        self.now_s += seconds

    def now_ns(self) -> int:
        return STAMP_NS + round((self.now_s - 1000.0) * 1e9)

    def show(self, *, runs_out_in_s: float | None = None, **changed: object) -> list[str]:
        """Show one observation; the answer's author, and how long it took, go to ``answered``."""
        for server in self.servers:
            server.calls.clear()
        started_s = self.now_s
        runs_out_ns = None if runs_out_in_s is None else self.now_ns() + round(runs_out_in_s * 1e9)
        request = ObservationRequest(1, 0, STAMP_NS, must_go=False, runs_out_ns=runs_out_ns)
        try:
            self.backend.infer(self.seen(request=request, **changed))
        finally:
            self.took_s = self.now_s - started_s
        return [
            f"{index}.{call}" for index, server in enumerate(self.servers) for call in server.calls
        ]

    def seen(self, **changed: object) -> Observation:
        self.shown += 1
        return observation(stamp_ns=STAMP_NS + self.shown, **changed)


@pytest.fixture
def ring(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Ring]:
    monkeypatch.setattr(_fail_over, "Watch", StillWatch)

    def make(count: int = 2) -> Ring:
        made = Ring(count)
        monkeypatch.setattr(_fail_over, "time", Clock(made))
        return made

    return make


class Clock:
    """The module ``time`` as far as it is used, on a ring's clock."""

    def __init__(self, ring: Ring) -> None:
        self._ring = ring

    def monotonic(self) -> float:
        return self._ring.now_s


def connected(ring: Ring) -> Ring:
    ring.backend.connect()
    for _ in range(6):
        ring.show()
    return ring


def test_one_is_asked_and_the_others_are_ready(ring):
    it = ring(3)
    info = it.backend.connect()

    assert info.description == "one of 3 servers, at first fake server at 127.0.0.1:1"
    assert [server.calls for server in it.servers] == [["connect"], ["reset"], ["reset"]]
    assert [watch.said for watch in it.watches] == [["start"]] * 3
    assert it.show() == ["0.infer"]
    assert it.backend.in_use == "127.0.0.1:1"


def test_who_is_not_there_at_first_is_passed_over(ring, caplog):
    it = ring(3)
    it.servers[0].does = it.servers[2].does = "vanish"
    with caplog.at_level(logging.WARNING):
        it.backend.connect()

    assert it.backend.in_use == "127.0.0.1:2"
    assert "127.0.0.1:3: nobody listens there" in caplog.text
    assert it.show() == ["1.infer"]


def test_a_dead_servers_observation_goes_to_the_next_which_forgets_what_it_knew(ring, caplog):
    it = connected(ring())
    it.backend.reset()
    it.servers[0].does = "vanish"
    assert it.show() == ["0.infer", "0.close", "1.reset", "1.infer"]
    assert it.took_s == pytest.approx(0.1)
    assert it.backend.in_use == "127.0.0.1:2"
    assert "127.0.0.1:2 is used from now on" in caplog.text
    assert it.show() == ["1.infer"]


def test_who_works_is_kept_when_the_first_returns(ring):
    it = connected(ring())
    it.servers[0].does = "vanish"
    it.show()
    it.servers[0].does = "work"
    it.watches[0].alive = True
    assert it.show() == ["1.infer"]
    it.servers[1].does = "vanish"
    assert it.show() == ["0.reset", "0.infer", "1.infer", "1.close"]


def test_a_silent_server_does_not_cost_the_whole_chunk(ring):
    it = connected(ring())
    it.servers[0].does = "freeze"
    assert it.show() == ["0.infer", "1.infer"]
    assert it.took_s == pytest.approx(0.3 + 0.1)


def test_first_answers_do_not_count_because_models_are_compiled_then(ring):
    it = ring()
    it.backend.connect()
    it.servers[0].takes_s = 2.0
    it.show()
    it.servers[0].takes_s = 0.1
    for _ in range(5):
        it.show()
    it.servers[0].does = "freeze"
    it.show()
    assert it.took_s == pytest.approx(0.3 + 0.1)


def test_it_costs_less_where_the_chunk_runs_out_sooner(ring):
    it = ring()
    for server in it.servers:
        server.takes_s = 0.3
    connected(it)
    it.servers[0].does = "freeze"
    it.show(runs_out_in_s=1.0)
    assert it.took_s == pytest.approx(1.0 - 1.5 * 0.3 + 0.3)
    assert it.took_s < 1.0


def test_the_last_one_gets_all_the_time_that_is_left(ring):
    it = connected(ring())
    it.servers[0].does, it.servers[1].takes_s = "vanish", 4.9
    assert it.show()[-1] == "1.infer"
    assert it.took_s == pytest.approx(4.9)


def test_before_it_is_known_how_long_answers_take_all_get_the_same_time(ring):
    it = ring(3)
    it.backend.connect()
    it.servers[0].does = it.servers[1].does = "freeze"
    assert it.show()[-1] == "2.infer"
    assert it.took_s == pytest.approx(2 * TIMEOUT_S / 3 + 0.1)


def test_who_has_no_time_left_is_not_asked(ring):
    it = ring()
    for server in it.servers:
        server.takes_s = 2.0
    connected(it)
    it.servers[0].does = "freeze"
    with pytest.raises(BackendSilent, match=r"1 gave no .*; no time was left for 127\.0\.0\.1:2"):
        it.show()
    assert it.took_s == pytest.approx(TIMEOUT_S)
    assert it.servers[1].calls == []


def test_who_is_seen_to_be_dead_is_asked_last(ring):
    it = connected(ring(3))
    it.watches[0].alive = it.watches[1].alive = False
    assert it.show() == ["2.infer"]
    it.servers[2].does = "vanish"
    it.watches[0].alive = False
    assert it.show() == ["0.infer", "2.infer", "2.close"]


def test_an_answer_is_a_sign_of_life_and_none_is_none(ring):
    it = connected(ring())
    it.watches[0].alive = it.watches[1].alive = False
    it.show()
    assert [watch.alive for watch in it.watches] == [True, False]
    it.servers[0].does = "vanish"
    it.show()
    assert [watch.alive for watch in it.watches] == [False, True]


def test_nobody_answers_and_everybody_is_named_with_the_reason(ring):
    it = connected(ring())
    it.servers[0].does, it.servers[1].does = "vanish", "freeze"
    text = r"^127\.0\.0\.1:1: nobody listens there; 127\.0\.0\.1:2 gave no answer within 5\.00 s$"
    with pytest.raises(BackendUnavailable, match=text) as caught:
        it.show()
    assert caught.type is BackendUnavailable
    with pytest.raises(BackendUnavailable, match=r"1: nobody listens.*2 gave no answer"):
        it.backend.connect()
    it.servers[1].does = "work"
    assert it.backend.connect().description.endswith("127.0.0.1:2")
    assert it.show() == ["1.reset", "1.infer"]


def test_silence_everywhere_is_silence(ring):
    it = connected(ring())
    it.servers[0].does = it.servers[1].does = "freeze"
    with pytest.raises(BackendSilent, match=r"127\.0\.0\.1:1 gave .*127\.0\.0\.1:2 gave"):
        it.show()
    assert it.took_s == pytest.approx(TIMEOUT_S)


def test_the_policys_own_word_is_not_asked_for_twice(ring):
    it = connected(ring())
    it.servers[0].does = "object"
    with pytest.raises(RemotePolicyError, match="out of memory"):
        it.show()
    assert it.servers[1].calls == []
    it.servers[0].does = "work"
    assert it.show() == ["0.infer"]


def test_another_policy_is_refused_while_there_is_one_that_fits(ring, caplog):
    it = ring()
    it.servers[0].does = "differ"
    it.backend.connect()
    assert "127.0.0.1:1 is not used: the horizon there is 8" in caplog.text
    it.servers[0].does = "work"
    assert it.show() == ["1.infer"]
    it.servers[1].does = "vanish"
    text = r"127\.0\.0\.1:1: the horizon there is 8; 127\.0\.0\.1:2: nobody listens there"
    with pytest.raises(BackendUnavailable, match=text):
        it.show()
    # Nothing is left to lose.
    assert it.show()[:2] == ["0.reset", "0.infer"]


def test_another_policy_everywhere_is_a_wrong_description(ring):
    it = ring()
    it.servers[0].does = it.servers[1].does = "differ"
    with pytest.raises(ConfigError, match=r"1: the horizon there is 8; 127\.0\.0\.1:2: the hor"):
        it.backend.connect()


def test_a_server_that_comes_back_with_another_policy_is_found_out(ring):
    it = connected(ring())
    it.servers[0].does = "differ"
    it.backend.reset()
    assert it.backend.in_use == "127.0.0.1:2"
    assert it.show() == ["1.infer"]


def test_an_observation_that_lacks_something_is_nobodys_fault(ring, monkeypatch):
    it = connected(ring())
    used = it.backend._servers[0].backend

    def refuse(*_: object) -> None:
        raise ConfigError("state x is not in the observation")

    with monkeypatch.context() as patch:
        patch.setattr(used, "infer", refuse)
        with pytest.raises(ConfigError, match="state x"):
            it.show()
    # It may have been the server all the same, so it is looked at again.
    assert it.show() == ["0.reset", "0.infer"]


def test_a_reset_reaches_the_others_when_they_are_needed(ring):
    it = connected(ring())
    it.backend.reset()
    assert it.servers[0].calls[-1] == "reset"
    assert it.servers[1].calls == []
    it.servers[0].does = "vanish"
    it.backend.reset()
    assert it.servers[1].calls == ["reset"]
    assert it.show() == ["1.infer"]


def test_a_reset_that_nobody_hears_is_an_error(ring):
    it = connected(ring())
    it.servers[0].does = it.servers[1].does = "vanish"
    with pytest.raises(BackendUnavailable, match=r"127\.0\.0\.1:1.*127\.0\.0\.1:2"):
        it.backend.reset()


def test_closing_twice_does_nothing_more_and_connecting_begins_anew(ring):
    it = connected(ring())
    it.backend.close()
    it.backend.close()
    assert [watch.said for watch in it.watches] == [["start", "end", "join"]] * 2
    it.backend.connect()
    it.backend.connect()
    assert [each.watch.said for each in it.backend._servers] == [["start"]] * 2
    assert it.show() == ["0.infer"]


def test_another_one_has_the_same_servers_and_asks_in_its_own_name(ring):
    it = connected(ring())
    second = it.backend.another()
    second.connect()
    assert second.in_use == "127.0.0.1:1"
    mine = {id(each.backend) for each in it.backend._servers}
    mine |= {id(watch.backend) for watch in it.watches}
    assert not mine & {id(each.backend) for each in second._servers}


def test_checks_are_made_with_backends_of_their_own(ring):
    it = ring()
    for server, watch in zip(it.backend._servers, it.watches, strict=True):
        assert watch.backend is not server.backend
        assert watch.backend.address == server.backend.address
        assert (watch.every_s, watch.timeout_s) == (1.0, 2.0)


class Pair:
    """Two servers of ours, the network before each, and one backend for both."""

    def __init__(self, spoken: Spoken, stack: ExitStack) -> None:
        self.servers = [GoldenBackend(policy=policy(spoken.text)) for _ in range(2)]
        self.networks: list[TcpProxy] = []
        for server in self.servers:
            server.actions = moves().astype(float)[: server.policy.horizon]
            port = stack.enter_context(served(server, "--protocol", spoken.name))
            self.networks.append(stack.enter_context(TcpProxy(port)))
        self.addresses = [f"127.0.0.1:{network.port}" for network in self.networks]
        kind = spoken.client.Backend
        # Else our own client would go round the network.
        short = {"local_socket": False} if spoken.name == "gr00t" else {}
        options = {"addresses": self.addresses, "timeout_s": 3.0, **short}
        facts = {"robot": robot(), "policy": policy(spoken.text)}
        made = new_backend(kind, build(kind.Config, options, where="test"), **facts)
        assert isinstance(made, FailOver)
        self.backend = made
        stack.callback(made.close)
        self._moments = itertools.count(STAMP_NS, 10**8)

    @property
    def seen(self) -> tuple[int, int]:
        """How many observations each server was shown."""
        return len(self.servers[0].seen), len(self.servers[1].seen)

    def infer(self) -> float:
        """Within what time a chunk came."""
        started_s = time.monotonic()
        self.backend.infer(observation(stamp_ns=next(self._moments)))
        return time.monotonic() - started_s

    def until(self, index: int, *, alive: bool) -> None:
        """Wait until a server is seen to be so."""
        by_s = time.monotonic() + 10.0
        while self.backend._servers[index].watch.alive is not alive:
            assert time.monotonic() < by_s
            time.sleep(0.01)


@pytest.fixture
def pair() -> Iterator[Callable[[Spoken], Pair]]:
    with ExitStack() as stack:
        yield lambda spoken: Pair(spoken, stack)


@pytest.mark.parametrize("spoken", PROTOCOLS, ids=lambda spoken: spoken.name)
def test_in_every_protocol_the_other_server_takes_over(spoken: Spoken, pair):
    it = pair(spoken)
    (left, right), (here, there) = it.networks, it.addresses
    assert here in it.backend.connect().description
    for _ in range(8):
        it.infer()
    assert it.seen == (8, 0)

    left.cut()
    assert it.infer() < 1.0
    it.infer()
    assert (it.seen, it.backend.in_use) == ((8, 2), there)

    left.mend()
    it.until(0, alive=True)
    right.swallow()
    assert it.infer() < 2.0
    assert (it.seen[0], it.backend.in_use) == (9, here)

    left.cut()
    right.cut()
    with pytest.raises(BackendUnavailable, match=f"{here}.*{there}"):
        it.infer()
    left.mend()
    it.backend.connect()
    it.infer()
    assert it.seen[0] == 10


@pytest.mark.parametrize("spoken", PROTOCOLS[:2], ids=lambda spoken: spoken.name)
def test_who_has_too_much_to_do_or_ends_is_passed_over(spoken: Spoken, pair):
    it = pair(spoken)
    it.backend.connect()
    it.infer()
    it.servers[0].error = BackendUnavailable("the server is overloaded")
    it.infer()
    it.infer()
    assert it.seen == (1, 2)


def test_a_server_that_dies_unasked_is_not_asked(pair):
    it = pair(PROTOCOLS[0])
    it.backend.connect()
    it.networks[0].swallow()
    it.until(0, alive=False)
    assert it.infer() < 0.5
    assert it.seen == (0, 1)


def test_closing_waits_for_no_check_and_leaves_no_thread(pair):
    it = pair(PROTOCOLS[0])
    it.backend.connect()
    it.networks[0].swallow()
    it.until(0, alive=False)
    started_s = time.monotonic()
    it.backend.close()
    it.backend.close()
    assert time.monotonic() - started_s < 1.0
    for thread in threading.enumerate():
        if thread.name in {f"watch {address}" for address in it.addresses}:
            thread.join(5.0)
            assert not thread.is_alive()


class Servers(RuleBasedStateMachine):
    """Whatever servers do: who works answers, in time, and knows of no other episode."""

    def __init__(self) -> None:
        super().__init__()
        self._patch = pytest.MonkeyPatch()
        self._patch.setattr(_fail_over, "Watch", StillWatch)
        self.ring = Ring(3)
        self._patch.setattr(_fail_over, "time", Clock(self.ring))
        self.is_connected = False
        # What the server in use was shown of this episode, without a break.
        self.author = ""
        self.known: set[int] = set()

    def teardown(self) -> None:
        self.ring.backend.close()
        self._patch.undo()

    @rule(index=st.integers(0, 2), does=st.sampled_from(["work", "work", "vanish", "freeze"]))
    def change(self, index: int, does: str) -> None:
        self.ring.servers[index].does = does

    @rule(index=st.integers(0, 2), takes_s=st.sampled_from([0.02, 0.1, 0.3]))
    def slow_down(self, index: int, takes_s: float) -> None:
        self.ring.servers[index].takes_s = takes_s

    @rule(index=st.integers(0, 2))
    def check(self, index: int) -> None:
        self.ring.backend._servers[index].watch.alive = self.works(index)

    @rule()
    def connect(self) -> None:
        if not self.succeeds(self.ring.backend.connect, within_s=3 * TIMEOUT_S):
            self.author = ""
        self.is_connected = True

    @precondition(lambda self: self.is_connected)
    @rule()
    def reset(self) -> None:
        self.author = ""
        self.succeeds(self.ring.backend.reset, within_s=TIMEOUT_S)

    @precondition(lambda self: self.is_connected)
    @rule(runs_out_in_s=st.sampled_from([None, 0.0, 0.8]))
    def infer(self, runs_out_in_s: float | None) -> None:
        ring = self.ring
        used = int(ring.backend.in_use[-1]) - 1
        is_sound = (
            self.works(used)
            and ring.backend._servers[used].watch.alive
            and ring.servers[used].takes_s < 0.25
        )
        if not self.succeeds(lambda: ring.show(runs_out_in_s=runs_out_in_s), within_s=TIMEOUT_S):
            self.author = ""
            return
        author = ring.backend.in_use
        if author != self.author:
            self.author, self.known = author, set()
        self.known.add(STAMP_NS + ring.shown)
        answering = int(author[-1]) - 1
        assert self.works(answering)
        assert set(ring.servers[answering].remembers) == self.known
        if is_sound:
            assert answering == used
            assert not any("infer" in ring.servers[i].calls for i in range(3) if i != used)

    def works(self, index: int) -> bool:
        return self.ring.servers[index].does == "work"

    def succeeds(self, call: Callable[[], object], *, within_s: float) -> bool:
        """Whether a call worked, as it must where all servers do; else all of them are named."""
        started_s, failure = self.ring.now_s, ""
        try:
            call()
        except BackendUnavailable as error:
            failure = str(error)
        assert self.ring.now_s - started_s <= within_s + 1e-6
        working = sum(map(self.works, range(3)))
        assert working < 3 if failure else working > 0
        assert not failure or all(f"127.0.0.1:{port}" in failure for port in (1, 2, 3))
        return not failure


TestServers = Servers.TestCase
TestServers.settings = settings(max_examples=100, stateful_step_count=40)
