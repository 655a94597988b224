# SPDX-License-Identifier: Apache-2.0
"""The way to a Unitree robot or its simulator: what it says, checked, and what it is told.

A simulator says every state more than once. A state that came again is dropped for a while, and
goes out all the same after that: a robot may stand still. A message that is wrong is dropped, and
counted with its reason.

One thread waits and takes; others may send, and read what is counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Generic, Literal, TypeVar

from cyclonedds.idl import IdlStruct

from vla_ros.core.errors import DeviceError
from vla_ros.drivers.repeats import Repeats
from vla_ros.drivers.unitree.body_command import Angles, BodyGoal, hand_cmds, low_cmd
from vla_ros.drivers.unitree.body_spec import UnitreeSpec
from vla_ros.drivers.unitree.body_state import BodyReader, BodyState, JointValues, read_hands
from vla_ros.drivers.unitree.idl_go import MotorCmds, MotorStates
from vla_ros.drivers.unitree.idl_hg import LowCmd, LowState
from vla_ros.drivers.unitree.idl_std import String
from vla_ros.drivers.unitree.rewards import Reward, read_reward
from vla_ros.drivers.unitree.session import DdsSession, DdsWriter

Sample = TypeVar("Sample", bound=IdlStruct)
Value = TypeVar("Value")
CommandTopic = Literal["lowcmd", "arm_sdk"]
ResetKind = Literal["object", "all"]

# How a simulator is told what to reset.
RESETS: Mapping[ResetKind, str] = {"object": "1", "all": "2"}
# For so long a state that came again is the simulator's repetition.
_REPEATED_S = 0.05
_SLOW_HZ = 10.0


class Inlet(Generic[Sample, Value]):
    """One topic that is read.

    Attributes:
        topic: Its name.
        received_ns: When the newest message came, on the steady clock; None: never.
        refused: Messages that were dropped because they are wrong.
        problem: Why the newest message was; empty: it was not.
    """

    def __init__(
        self,
        session: DdsSession,
        topic: str,
        kind: type[Sample],
        read: Callable[[Sample], Value],
        *,
        max_rate_hz: float,
        fingerprint: Callable[[Value], bytes] | None = None,
    ) -> None:
        """Begin to read.

        Args:
            session: Where.
            topic: The DDS name.
            kind: What comes on it.
            read: What a message says; raises DeviceError where it is wrong.
            max_rate_hz: More messages per second than this are not taken.
            fingerprint: The same for a message that came again; None: each one is news.

        Raises:
            DeviceError: It cannot be read.
        """
        self.topic = topic
        self.received_ns: int | None = None
        self.refused = 0
        self.problem = ""
        self._fingerprint = fingerprint
        self._repeats = Repeats(still_after_s=_REPEATED_S)
        self._reader = session.reader(topic, kind, max_rate_hz=max_rate_hz)
        self._read = read

    @property
    def repeated(self) -> int:
        """Messages that were dropped because they say the same again."""
        return self._repeats.dropped

    @property
    def malformed(self) -> int:
        """Messages that were no such messages."""
        return self._reader.malformed

    def same_for_s(self, now_ns: int) -> float:
        """For how long the messages have said the same [s]."""
        return self._repeats.same_for_s(now_ns)

    def take(self) -> Value | None:
        """What came, if it is news.

        Raises:
            DeviceError: The session is closed, or fails.
        """
        message = self._reader.take()
        if message is None:
            return None
        self.received_ns = now_ns = time.monotonic_ns()
        try:
            value = self._read(message)
        except DeviceError as error:
            self.refused += 1
            self.problem = f"{self.topic}: {error}"
            return None
        self.problem = ""
        if self._fingerprint and not self._repeats.takes(self._fingerprint(value), now_ns):
            return None
        return value


class UnitreeLink:
    """All topics.

    Attributes:
        body: The body's state.
        hands: The hands' state, (12,).
        rewards: How a simulator's task stands.
        sim_state: What a simulator says of its world.
        command_topic: Where the body is told.
    """

    def __init__(
        self,
        session: DdsSession,
        spec: UnitreeSpec,
        reader: BodyReader,
        *,
        command_topic: CommandTopic,
        max_state_rate_hz: float,
        dry_run: bool,
    ) -> None:
        """Join the topics.

        Args:
            session: The robot's domain.
            spec: The body.
            reader: Reads its states.
            command_topic: Where it listens: ``arm_sdk`` beside its own controller, else ``lowcmd``.
            max_state_rate_hz: More states per second than this are not taken.
            dry_run: Whether nothing is ever sent.

        Raises:
            DeviceError: They cannot be joined.
        """
        hands = self._inspire = spec.inspire_hands()
        self._spec = spec
        self._weighted = command_topic == "arm_sdk"
        self.body: Inlet[LowState, BodyState] = Inlet(
            session,
            "rt/lowstate",
            LowState,
            reader.read,
            max_rate_hz=max_state_rate_hz,
            fingerprint=lambda state: state.joints.fingerprint + state.inertial.fingerprint,
        )
        self.hands: Inlet[MotorStates, JointValues] = Inlet(
            session,
            "rt/inspire/state",
            MotorStates,
            lambda message: read_hands(message, hands),
            max_rate_hz=max_state_rate_hz,
            fingerprint=lambda state: state.fingerprint,
        )
        self.rewards: Inlet[String, Reward] = Inlet(
            session,
            "rt/rewards_state",
            String,
            lambda message: read_reward(message.data),
            max_rate_hz=_SLOW_HZ,
        )
        self.sim_state: Inlet[String, str] = Inlet(
            session, "rt/sim_state", String, lambda message: message.data, max_rate_hz=_SLOW_HZ
        )
        self.command_topic = f"rt/{command_topic}"
        self._body_commands: DdsWriter[LowCmd] | None = None
        self._hand_commands: DdsWriter[MotorCmds] | None = None
        self._resets: DdsWriter[String] | None = None
        if not dry_run:
            self._body_commands = session.writer(self.command_topic, LowCmd)
            self._hand_commands = session.writer("rt/inspire/cmd", MotorCmds)
            self._resets = session.writer("rt/reset_pose/cmd", String)

    @property
    def inlets(self) -> tuple[Inlet[Any, Any], ...]:
        """All that is read."""
        return self.body, self.hands, self.rewards, self.sim_state

    @property
    def listeners(self) -> int:
        """How many listen to what the body is told.

        Raises:
            DeviceError: The session is closed.
        """
        return self._body_commands.listeners if self._body_commands else 0

    def tell_body(self, goal: BodyGoal, mode_machine: int) -> None:
        """Tell the body; nothing is sent in a dry run.

        Args:
            goal: What it is told.
            mode_machine: As in its state.

        Raises:
            DeviceError: It cannot be sent.
        """
        if self._body_commands:
            message = low_cmd(self._spec, goal, mode_machine, weighted=self._weighted)
            self._body_commands.write(message)

    def tell_hands(self, angles_rad: Angles) -> None:
        """Tell the hands, (12,); nothing is sent in a dry run.

        Raises:
            DeviceError: It cannot be sent.
        """
        if self._hand_commands:
            self._hand_commands.write(hand_cmds(self._inspire.normalized(angles_rad)))

    def reset(self, what: ResetKind, *, first: Callable[[], None]) -> None:
        """Tell a simulator to put its object back, or to begin anew altogether.

        Args:
            what: Which of both.
            first: Called before it is told, if there is a simulator.

        Raises:
            DeviceError: This is a dry run, or nobody listens, or it cannot be sent.
        """
        if self._resets is None:
            raise DeviceError("this is a dry run: nothing is sent")
        if not self._resets.listeners:
            raise DeviceError("nobody listens on rt/reset_pose/cmd: is the simulator there?")
        first()
        self._resets.write(String(RESETS[what]))
