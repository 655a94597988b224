# SPDX-License-Identifier: Apache-2.0
"""What a policy is shown: one synchronized moment of a robot.

Values only, immutable; any thread may read them. An observation that exists is well-formed:
building a bad one raises. Stamps are integer nanoseconds of the ROS clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from vla_ros.core.errors import ConfigError


@dataclass(frozen=True, slots=True, eq=False)
class Prefix:
    """Actions that will be executed whatever the policy answers (real-time chunking).

    Attributes:
        names: (D,) Interfaces, in the columns' order.
        actions: (P, D) float64. Committed actions, the first due at the observation's stamp.
        inference_delay_s: Expected time from the observation's stamp until the chunk takes effect.
        execution_horizon: How many of its actions will be executed before the next chunk takes
            over; 0: unknown.
    """

    names: tuple[str, ...]
    actions: NDArray[np.float64]
    inference_delay_s: float
    execution_horizon: int


@dataclass(frozen=True, slots=True, eq=False)
class CommittedActions:
    """What the executor will command if no other chunk comes (real-time chunking).

    Attributes:
        names: (D,) Interfaces, in the columns' order.
        stamp_ns: When the first action was or is due.
        step_ns: Time from one action to the next.
        actions: (P, D) float64, at least one; some of them may be past.
        inference_delay_s: Expected time from the request until its chunk takes effect.
        execution_horizon: How many actions of that chunk will be executed before the next one
            takes over; 0: unknown.
    """

    names: tuple[str, ...]
    stamp_ns: int
    step_ns: int
    actions: NDArray[np.float64]
    inference_delay_s: float
    execution_horizon: int

    def anchored(self, observation_ns: int, request_ns: int) -> Prefix | None:
        """The same on the grid of the chunk that is going to be inferred; None: nothing is left.

        Args:
            observation_ns: When the observation was made, and so the chunk's first action is due.
            request_ns: When it was asked for.
        """
        end_ns = self.stamp_ns + (len(self.actions) - 1) * self.step_ns
        count = (end_ns - observation_ns) // self.step_ns + 1
        if count <= 0:
            return None
        moments = observation_ns - self.stamp_ns + self.step_ns * np.arange(count)
        grid = self.step_ns * np.arange(len(self.actions))
        columns = [np.interp(moments, grid, column) for column in self.actions.T]
        waited_s = (request_ns - observation_ns) * 1e-9
        delay_s = max(self.inference_delay_s + waited_s, 0.0)
        return Prefix(self.names, np.stack(columns, axis=1), delay_s, self.execution_horizon)


@dataclass(frozen=True, slots=True)
class ObservationRequest:
    """The executor's wish for an observation, which starts one turn of the ring.

    Attributes:
        request_id: Goes round the ring, so that a chunk names its request.
        epoch: Bumped by every reset; what belongs to an older epoch is discarded.
        stamp_ns: When the executor asked.
        must_go: The executor has nothing left to execute.
        committed: What will be executed meanwhile, for backends that can use it.
        runs_out_ns: When the executor has nothing left to execute, at its present speed; None: it
            did not say.
    """

    request_id: int
    epoch: int
    stamp_ns: int
    must_go: bool
    committed: CommittedActions | None = None
    runs_out_ns: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """One synchronized moment, and what the robot was asked to do.

    Attributes:
        stamp_ns: The moment: when the anchor camera's image was taken.
        instruction: What the robot is to do, in words.
        images: Camera name to (H, W, 3) uint8 RGB; past frames under their own names, see
            ``core.past_frames``.
        state_names: (D,) Measured interfaces.
        state: (D,) float64 [rad, m, and 1/s of these], at ``stamp_ns``.
        request: The request that this answers; None outside the ring (a server's side).
    """

    stamp_ns: int
    instruction: str
    images: Mapping[str, NDArray[np.uint8]]
    state_names: tuple[str, ...]
    state: NDArray[np.float64]
    request: ObservationRequest | None = None

    def __post_init__(self) -> None:
        """Refuse what no policy should see.

        Raises:
            ConfigError: An image is none, or the state has the wrong shape or holds NaN or inf.
        """
        for camera, image in self.images.items():
            require_image(f"camera {camera!r}", image)
        state = np.array(self.state, dtype=np.float64)
        if state.shape != (len(self.state_names),):
            raise ConfigError(
                f"state has shape {state.shape}, expected ({len(self.state_names)},)"
                f" for {', '.join(self.state_names) or 'no interfaces'}"
            )
        for name, value in zip(self.state_names, state, strict=True):
            if not isfinite(value):
                raise ConfigError(f"state of {name} is {value}; it must be finite")
        state.flags.writeable = False
        object.__setattr__(self, "state", state)

    @property
    def prefix(self) -> Prefix | None:
        """What will be executed meanwhile, on the grid of the chunk to come; None: nothing."""
        request = self.request
        if request is None or request.committed is None:
            return None
        return request.committed.anchored(self.stamp_ns, request.stamp_ns)

    def select(self, names: tuple[str, ...]) -> NDArray[np.float64]:
        """(len(names),) The measured values of some interfaces, in the order asked for.

        Raises:
            ConfigError: An interface is not measured.
        """
        missing = [name for name in names if name not in self.state_names]
        if missing:
            raise ConfigError(
                f"state {', '.join(missing)} is not in the observation, which has"
                f" {', '.join(self.state_names) or 'none'}"
            )
        return self.state[[self.state_names.index(name) for name in names]]


def require_image(what: str, image: NDArray[np.uint8]) -> None:
    """Refuse an array that is not an image.

    Args:
        what: What it is, for the error.
        image: Should be (H, W, 3) uint8, at least one pixel.

    Raises:
        ConfigError: It is not.
    """
    shape = image.shape
    if len(shape) != 3 or shape[2] != 3 or image.size == 0 or image.dtype != np.uint8:
        raise ConfigError(f"{what} must be (H, W, 3) uint8, found {shape} {image.dtype}")
