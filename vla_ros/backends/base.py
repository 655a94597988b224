# SPDX-License-Identifier: Apache-2.0
"""The seam between a robot and a policy: four verbs.

Every backend is driven by exactly one thread, which it may block for at most its own deadline.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from vla_ros.core.action_chunk import ActionChunk, ChunkTiming
from vla_ros.core.observation import Observation, Prefix
from vla_ros.core.policy_spec import PolicySpec
from vla_ros.core.robot_spec import RobotSpec


@dataclass(frozen=True, slots=True)
class PolicyInfo:
    """What a policy said of itself when it was connected to.

    Attributes:
        description: For people: what answered, and in which wire.
        prefix: Whether it can use committed actions, and how it was made to.
        max_batch: How many observations it infers at once.
    """

    description: str
    prefix: Literal["none", "guided", "trained"] = "none"
    max_batch: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class BatchItem:
    """One observation of several that are inferred at once.

    Attributes:
        backend: Whose client asks: it holds what is remembered of that client.
        observation: What its robot sees.
        prefix: Actions that will be executed whatever the answer is.
    """

    backend: PolicyBackend
    observation: Observation
    prefix: Prefix | None = None


class PolicyBackend(ABC):
    """A way to reach a policy.

    Attributes:
        Config: The backend's own parameters, a frozen dataclass of ``core.params.param`` fields.
            They become the ROS parameters ``backend.*`` and the server's ``--backend-option``.
        per_client: Whether a server gives each of its clients a backend of its own, because this
            one remembers their episode. What is large, such as a model's weights, ``another`` may
            share. Else they share one.
        in_use: ``host:port`` of the one that is asked of several servers; empty: there are not
            several.
    """

    Config: ClassVar[type]
    per_client: ClassVar[bool] = False
    in_use: str = ""

    def __init__(
        self,
        config: Any,
        *,
        robot: RobotSpec,
        policy: PolicySpec,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Keep the facts; connect to nothing yet.

        Args:
            config: An instance of ``Config``.
            robot: The body.
            policy: The checkpoint, already checked against the body.
            now_ns: The clock of the observations' stamps, for the chunks' timing: the ROS clock
                in a node.
        """
        self.config = config
        self.robot = robot
        self.policy = policy
        self.now_ns = now_ns

    @property
    def name(self) -> str:
        """What it is called where one is chosen: the name of its module."""
        return type(self).__module__.rpartition(".")[2]

    @abstractmethod
    def connect(self) -> PolicyInfo:
        """Shake hands, and check what the policy says of itself against the specs.

        May be called again after any error, and then starts afresh.

        Raises:
            BackendUnavailable: Nobody answered in time.
            BackendError: What answered is not what was expected.
            ConfigError: The policy and the specs contradict each other.
        """

    @abstractmethod
    def infer(self, observation: Observation, prefix: Prefix | None = None) -> ActionChunk:
        """The chunk of actions for an observation, in core units, stamped with its stamp.

        Args:
            observation: What the robot sees.
            prefix: Actions that will be executed whatever the answer is.

        Raises:
            BackendError: No chunk came of it.
            ConfigError: The observation lacks what the policy needs.
            ActionError: The answer must not be executed.
        """

    def infer_batch(self, items: Sequence[BatchItem]) -> list[ActionChunk]:
        """A chunk for each of several observations, in their order.

        Called on the backend that all clients share, or of which theirs were made by ``another``,
        with at most ``PolicyInfo.max_batch`` items. One that fails fails all; a server then asks
        for each alone, which tells whose fault it was.

        Raises:
            VlaRosError: As ``infer``.
        """
        return [item.backend.infer(item.observation, item.prefix) for item in items]

    @abstractmethod
    def reset(self) -> None:
        """Forget the episode. Whether that reaches a remote policy, the docstring says.

        Raises:
            BackendError: The policy could not be reset.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of everything. Never raises; a second call does nothing."""

    def another(self) -> PolicyBackend:
        """A second one with the same facts and no memory, not connected yet.

        It may share what this one has loaded, as long as this one is not closed.
        """
        return type(self)(self.config, robot=self.robot, policy=self.policy, now_ns=self.now_ns)

    def chunk(
        self,
        observation: Observation,
        actions: NDArray[np.float64],
        *,
        sent_ns: int,
        received_ns: int,
        inference_ns: int = 0,
    ) -> ActionChunk:
        """The answer to an observation: stamped with its stamp, named after its request.

        Args:
            observation: What was asked.
            actions: (H, D) In core units and ``policy.action_names`` order.
            sent_ns: When the request left for the policy (or the model was called).
            received_ns: When the answer was in.
            inference_ns: How long the policy itself took, where its server told; else 0.

        Raises:
            ActionError: The actions must not be executed.
        """
        request = observation.request
        return ActionChunk(
            stamp_ns=observation.stamp_ns,
            step_ns=self.policy.step_ns,
            names=self.policy.action_names,
            actions=actions,
            request_id=request.request_id if request else 0,
            epoch=request.epoch if request else 0,
            timing=ChunkTiming(
                requested_ns=request.stamp_ns if request else 0,
                sent_ns=sent_ns,
                received_ns=received_ns,
                inference_ns=inference_ns,
            ),
        )
