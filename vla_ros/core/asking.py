# SPDX-License-Identifier: Apache-2.0
"""The executor's side of a request: when to make it, and what to say in it.

One thread, or an external lock. Moments are integer nanoseconds of the ROS clock.
"""

from __future__ import annotations

from math import nan

import numpy as np

from vla_ros.core import scheduling
from vla_ros.core.executor_params import ExecutorParams
from vla_ros.core.motion import Motion
from vla_ros.core.observation import CommittedActions, ObservationRequest
from vla_ros.core.plan import Plan
from vla_ros.core.policy_spec import PolicySpec
from vla_ros.core.request_scheduler import RequestScheduler
from vla_ros.core.scheduling import Outlook

# At less speed than this an action would seem to last for ever.
_SLOWEST = 1e-3


class Asking:
    """Decides when an observation is asked for.

    Attributes:
        params: How to ask; may be changed at any time.
    """

    def __init__(
        self,
        policy: PolicySpec,
        plan: Plan,
        motion: Motion,
        scheduler: RequestScheduler,
        params: ExecutorParams,
    ) -> None:
        """Keep what is asked about.

        Args:
            policy: The checkpoint.
            plan: What is going to be executed.
            motion: What is added to it.
            scheduler: Keeps track of the request in flight.
            params: How to ask.
        """
        self.params = params
        self._policy = policy
        self._plan = plan
        self._motion = motion
        self._scheduler = scheduler

    def poll(
        self, now_ns: int, *, epoch: int, rest_since_ns: int | None, moving: bool
    ) -> ObservationRequest | None:
        """The observation to ask for now, if any.

        Args:
            now_ns: Now.
            epoch: The epoch to ask in.
            rest_since_ns: Since when the robot has been at rest; None: it moves.
            moving: Whether the last command was a Move.
        """
        if not self._scheduler.ready(now_ns):
            return None
        outlook = self.outlook(now_ns, rest_since_ns)
        if not scheduling.wants_observation(self.params, outlook):
            return None
        return self._scheduler.make(
            now_ns,
            epoch=epoch,
            must_go=outlook.remaining_steps <= 0.0,
            committed=self._committed(now_ns, outlook) if moving else None,
            runs_out_ns=now_ns + round(outlook.remaining_steps * outlook.step_s * 1e9),
        )

    def outlook(self, now_ns: int, rest_since_ns: int | None) -> Outlook:
        """What there is to decide from."""
        return Outlook(
            remaining_steps=self._plan.remaining_steps(now_ns),
            chunk_steps=self._plan.chunk_steps,
            step_s=self._policy.step_ns * 1e-9 / max(self.params.speed_scale, _SLOWEST),
            latency_s=self._scheduler.expected_s,
            tick_s=1.0 / self.params.control_rate_hz,
            rested_s=nan if rest_since_ns is None else (now_ns - rest_since_ns) * 1e-9,
        )

    def _committed(self, now_ns: int, outlook: Outlook) -> CommittedActions | None:
        """What will be commanded if no other chunk comes; None: nothing."""
        left = self._plan.left(now_ns)
        if left is None:
            return None
        stamp_ns, track = left
        count, step_ns = len(track.actions), track.step_ns
        moments_ns = np.maximum(stamp_ns + step_ns * np.arange(count), now_ns)
        return CommittedActions(
            names=self._policy.action_names,
            stamp_ns=stamp_ns,
            step_ns=step_ns,
            actions=track.actions + self._motion.offsets(moments_ns),
            inference_delay_s=float(np.nan_to_num(outlook.latency_s)),
            execution_horizon=scheduling.execution_horizon(self.params, outlook),
        )
