# SPDX-License-Identifier: Apache-2.0
"""What LeRobot's clients are answered: sessions, no I/O, no clock, no thread.

Each client has a session of its own. Nothing is loaded on a client's word: the policy is the
server's, and who asks for another checkpoint is to be refused. A client that was cut off and comes
back under another address need not introduce itself again; LeRobot's own does not.

``read_setup``, ``read`` and ``inference`` may be called by any thread. The rest changes the
sessions, one call at a time. Times are seconds of any one clock.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass

import numpy as np

from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.errors import ConfigError
from vla_ros.core.observation import Observation
from vla_ros.core.policy_io import PolicyInput, action_columns, observation_from, split_columns
from vla_ros.core.policy_spec import PolicySpec
from vla_ros.serving.asked import Inference
from vla_ros.wire.lerobot.actions import TimedActions, encode_actions
from vla_ros.wire.lerobot.features import features_from
from vla_ros.wire.lerobot.observation import TASK, TimedObservation, decode_observation
from vla_ros.wire.lerobot.policy_setup import PolicySetup, decode_policy_setup
from vla_ros.wire.lerobot.protobuf import decode_data, encode_data
from vla_ros.wire.shown import shown

MAX_CLIENTS = 16
FORGOTTEN_AFTER_S = 60.0
# What 64 bits of nanoseconds can say.
_MAX_TIME_S = 9e9


@dataclass(frozen=True, slots=True)
class Terms:
    """What a client said of itself.

    Attributes:
        names: Its names of the values of the state, in its order; None: it did not say.
        actions_per_chunk: How many actions it wants at most; None: it did not say.
    """

    names: tuple[str, ...] | None = None
    actions_per_chunk: int | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """An observation, and how it is to be answered.

    Attributes:
        observation: What the policy is shown.
        timestamp: The client's own time of it [s].
        timestep: The client's own number of it.
        must_go: Whether it is to be answered, even if its number was answered before.
        columns: (D,) Which of the policy's actions stands where in the answer.
        count: How many actions are wanted at most; None: all.
    """

    observation: Observation
    timestamp: float
    timestep: int
    must_go: bool
    columns: tuple[int, ...]
    count: int | None


@dataclass(slots=True)
class _Session:
    last_s: float
    terms: Terms = Terms()
    newest: Seen | None = None
    answered: int | None = None


class LeRobotService:
    """Answers LeRobot's clients.

    Attributes:
        protocol: What it speaks, for whoever counts its clients.
        checkpoints: Those that a client may ask for; all mean the policy that is served.
    """

    protocol = "lerobot"

    def __init__(
        self, policy: PolicySpec, *, checkpoints: Iterable[str] = (), max_bytes: int
    ) -> None:
        """Keep the facts.

        Args:
            policy: What is served.
            checkpoints: Those that a client may ask for; none: the one of the description.
            max_bytes: A longer message is refused.

        Raises:
            ConfigError: The policy's description does not say how LeRobot names things.
        """
        self._policy = policy
        self._lerobot = policy.lerobot_for("LeRobot's clients need")
        self.checkpoints = frozenset(checkpoints) or frozenset({self._lerobot.checkpoint})
        self._max_bytes = max_bytes
        self._sessions: dict[str, _Session] = {}

    def admit(self, client: str, now_s: float) -> bool:
        """Note a sign of life; whether there is room for the client."""
        if client not in self._sessions:
            if len(self._sessions) >= MAX_CLIENTS:
                return False
            self._sessions[client] = _Session(now_s)
        self._sessions[client].last_s = now_s
        return True

    def forget(self, now_s: float, busy: Container[str] = ()) -> list[str]:
        """Make room of the clients that are silent since long.

        Args:
            now_s: Now.
            busy: Clients that are being answered, however long that takes.

        Returns:
            Those that are silent.
        """
        silent = [
            client
            for client, session in self._sessions.items()
            if now_s - session.last_s >= FORGOTTEN_AFTER_S and client not in busy
        ]
        for client in silent:
            del self._sessions[client]
        return silent

    def begin(self, client: str, now_s: float) -> None:
        """Begin an admitted client's session afresh."""
        self._sessions[client] = _Session(now_s)

    def read_setup(self, message: bytes) -> tuple[PolicySetup, Terms]:
        """What a client asks for and says of itself.

        Raises:
            WireFormatError: The message is none.
            ConfigError: The client lacks what the policy needs.
        """
        data = decode_data(message, max_bytes=self._max_bytes)
        setup = decode_policy_setup(data, max_bytes=self._max_bytes)
        features = features_from(setup.features)
        self._columns(features.state)
        for key in self._policy.video:
            if key not in features.cameras:
                raise ConfigError(
                    f"camera {key!r} is missing from the client's features, which have"
                    f" {', '.join(features.cameras) or 'none'}"
                )
        return setup, Terms(features.state, setup.actions_per_chunk)

    def accept(self, client: str, terms: Terms) -> None:
        """Keep what an admitted client said of itself."""
        self._sessions[client].terms = terms

    def terms(self, client: str) -> Terms:
        """What an admitted client said of itself."""
        return self._sessions[client].terms

    def read(self, data: bytes, terms: Terms) -> Seen:
        """An observation of a client.

        Raises:
            WireFormatError: The data are none.
            ConfigError: A value or camera is missing, or is not what the policy takes.
        """
        sent = decode_observation(data, max_bytes=self._max_bytes)
        if not abs(sent.timestamp) <= _MAX_TIME_S:
            raise ConfigError(f"timestamp must be finite seconds, found {sent.timestamp}")
        return Seen(
            observation=self._observation(sent),
            timestamp=sent.timestamp,
            timestep=sent.timestep,
            must_go=sent.must_go,
            columns=self._columns(tuple(sent.values) if terms.names is None else terms.names),
            count=terms.actions_per_chunk,
        )

    def offer(self, client: str, seen: Seen) -> bool:
        """Keep a client's observation until it is taken, instead of any other.

        Returns:
            Whether it is kept: one whose number was answered is not, unless it must go.
        """
        session = self._sessions[client]
        if not seen.must_go and seen.timestep == session.answered:
            return False
        session.newest = seen
        return True

    def waiting(self, client: str) -> bool:
        """Whether a client's observation waits to be taken."""
        session = self._sessions.get(client)
        return session is not None and session.newest is not None

    def take(self, client: str) -> Seen | None:
        """A client's newest observation, which from now on counts as answered; None: there is none.

        LeRobot counts in the same way.
        """
        session = self._sessions.get(client)
        if session is None or session.newest is None:
            return None
        seen, session.newest = session.newest, None
        session.answered = seen.timestep
        return seen

    def inference(self, seen: Seen, wanted: Callable[[], bool] = lambda: True) -> Inference[bytes]:
        """What an observation asks of the policy; its reply is the message with the actions.

        Args:
            seen: It.
            wanted: Whether its client still waits.
        """

        def answer(chunk: ActionChunk) -> bytes:
            actions = action_columns(self._policy, chunk).astype(np.float32)
            asked = np.ascontiguousarray(actions[: seen.count, list(seen.columns)])
            steps = np.arange(len(asked))
            timed = TimedActions(
                timestamps=seen.timestamp + steps / self._policy.rate_hz,
                timesteps=seen.timestep + steps,
                actions=asked,
            )
            return encode_data(encode_actions(timed))

        # It must go where the robot has nothing left to execute.
        left_s = 0.0 if seen.must_go else None
        return Inference(seen.observation, answer, runs_out_in_s=left_s, wanted=wanted)

    def _observation(self, sent: TimedObservation) -> Observation:
        values = sent.values
        numbers = []
        for name in self._lerobot.state:
            value = values.get(name)
            if not isinstance(value, float):
                raise ConfigError(f"state {name!r} must be a number, found {shown(value)}")
            numbers.append(value)
        task = values.get(TASK, "")
        if not isinstance(task, str):
            raise ConfigError(f"{TASK} must be a text, found {shown(task)}")
        images = {
            key: image
            for key in self._policy.video
            if isinstance(image := values.get(key), np.ndarray)
        }
        given = PolicyInput(
            video=images,
            state=split_columns(self._policy.state, np.array(numbers)),
            language={self._policy.instruction_key: task},
        )
        return observation_from(self._policy, given, stamp_ns=round(sent.timestamp * 1e9))

    def _columns(self, names: tuple[str, ...]) -> tuple[int, ...]:
        """Which of the policy's actions stands where in a client's answer.

        Actions travel without names. A client with the policy's order of the state gets the
        policy's order of the actions, one with another order gets the actions in its own.

        Raises:
            ConfigError: A name is missing, or the client's order of the actions cannot be known.
        """
        state, action = self._lerobot.state, self._lerobot.action
        missing = [name for name in state if name not in names]
        if missing:
            raise ConfigError(
                f"state {', '.join(missing)} is missing from the client's, which has"
                f" {shown(', '.join(names))}"
            )
        ours = tuple(name for name in names if name in state)
        if ours == state:
            return tuple(range(len(action)))
        if sorted(ours) != sorted(action):
            raise ConfigError(
                f"the state must be in the order {', '.join(state)}, as it does not tell the order"
                f" of the actions {', '.join(action)}; found {', '.join(ours)}"
            )
        return tuple(action.index(name) for name in ours)
