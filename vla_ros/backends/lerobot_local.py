# SPDX-License-Identifier: Apache-2.0
"""A checkpoint of LeRobot in this process: ACT, Diffusion, VQ-BeT, SmolVLA, pi0, pi0.5 and others.

Everything that LeRobot does with an observation and its actions is done by LeRobot itself. One
thread. No call can be broken off: ``infer`` takes as long as the policy does, and ``connect`` as
long as it takes to load it. lerobot and torch are imported when a policy is loaded.
"""

from __future__ import annotations

import importlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vla_ros.backends._guided_inpainting import Schedule
from vla_ros.backends._lerobot_guidance import Guidance, GuidanceParams, guidance_from
from vla_ros.backends._warm_up import grey_observation
from vla_ros.backends.base import PolicyBackend, PolicyInfo
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.errors import BackendUnavailable, ConfigError
from vla_ros.core.observation import Observation, Prefix
from vla_ros.core.params import param
from vla_ros.core.policy_io import actions_from, policy_input, split_columns

if TYPE_CHECKING:
    from vla_ros.backends._lerobot_model import LeRobotModel

_LOG = logging.getLogger(__name__)
_MODEL = "vla_ros.backends._lerobot_model"


@dataclass(frozen=True, slots=True)
class LeRobotLocalConfig:
    """Which checkpoint, where it runs, and how its chunks go on from the one before."""

    checkpoint: str = param(
        "", "A folder, or a name on the hub; empty: the one that the policy names.", read_only=True
    )
    device: str = param(
        "", "Torch's device, such as cuda; empty: the one that the policy names.", read_only=True
    )
    guidance: bool = param(
        default=True,
        description="Continue the prefix of a request, where the policy can.",
        read_only=True,
    )
    schedule: Schedule = param(
        "linear",
        "How firmly actions are held to the prefix after those certain to be executed.",
        read_only=True,
    )
    max_guidance_weight: float = param(
        10.0, "How hard a denoising step is pulled at most.", ge=0.01, le=100.0, read_only=True
    )


class Backend(PolicyBackend):
    """Calls a policy of LeRobot."""

    Config = LeRobotLocalConfig
    _model: LeRobotModel | None = None

    def __init__(self, config: LeRobotLocalConfig, **facts: Any) -> None:
        """Keep the facts; see ``PolicyBackend``.

        Raises:
            ConfigError: The policy's description does not say what LeRobot has to be told.
        """
        super().__init__(config, **facts)
        self._lerobot = self.policy.lerobot_for("backend lerobot_local needs")

    def connect(self) -> PolicyInfo:
        """Load the policy, check it against the description, and let it infer once.

        The first inference is slow, so that it is not left to the first observation.

        Raises:
            ConfigError: lerobot is not installed, the checkpoint cannot be loaded or does not fit.
            RemotePolicyError: The policy fails on grey images of the robot's cameras.
        """
        self.close()
        model = self._load()
        self._check(model)
        self._warm_up(model)
        self._model = model
        return PolicyInfo(
            description=f"LeRobot's {model.description}, in process",
            prefix="guided" if model.guided else "none",
        )

    def infer(self, observation: Observation, prefix: Prefix | None = None) -> ActionChunk:
        """The chunk for an observation; see ``PolicyBackend``.

        Raises:
            BackendUnavailable: ``connect`` was not called.
            RemotePolicyError: The policy failed.
        """
        if self._model is None:
            raise BackendUnavailable("the policy is not loaded; call connect first")
        guidance = None
        if prefix is not None and self._model.guided:
            guidance = guidance_from(self.policy, prefix)
        sent_ns = self.now_ns()
        values = self._predict(self._model, observation, guidance)
        received_ns = self.now_ns()
        actions = actions_from(self.policy, split_columns(self.policy.action, values))
        return self.chunk(observation, actions, sent_ns=sent_ns, received_ns=received_ns)

    def reset(self) -> None:
        """Make the policy forget the episode."""
        if self._model is not None:
            self._model.reset()

    def close(self) -> None:
        """Let go of the policy, and of its memory."""
        self._model = None

    def _load(self) -> LeRobotModel:
        try:
            module = importlib.import_module(_MODEL)
        except ImportError as error:
            raise ConfigError(
                f"backend lerobot_local needs lerobot and torch, which cannot be imported: {error};"
                ' install them with: pip install "vla_ros[lerobot]"'
            ) from error
        config, guidance = self.config, None
        if config.guidance:
            guidance = GuidanceParams(config.schedule, config.max_guidance_weight)
        model: LeRobotModel = module.LeRobotModel(
            config.checkpoint or self._lerobot.checkpoint,
            config.device or self._lerobot.device,
            step_ns=self.policy.step_ns,
            guidance=guidance,
        )
        return model

    def _check(self, model: LeRobotModel) -> None:
        """Refuses a checkpoint that is not the one described."""
        for what, ours, theirs in (
            ("lerobot.type", self._lerobot.type, model.type),
            ("lerobot.state", len(self._lerobot.state), model.state_size),
            ("lerobot.action", len(self._lerobot.action), model.action_size),
            ("video", sorted(self.policy.video), sorted(model.cameras)),
        ):
            if ours != theirs:
                raise ConfigError(
                    f"{self.policy.source}: {what}: describes {_shown(ours)}, but the checkpoint"
                    f" {model.description} has {_shown(theirs)}"
                )
        for key, trained in model.cameras.items():
            name = self.policy.video[key]
            given = (self.robot.cameras[name].height, self.robot.cameras[name].width)
            if given != trained:
                _LOG.warning(
                    "%s: was trained on images of %d x %d, camera %s gives %d x %d",
                    model.description, *trained, name, *given,
                )  # fmt: skip

    def _warm_up(self, model: LeRobotModel) -> None:
        policy = self.policy
        seen = grey_observation(self.robot, policy, stamp_ns=self.now_ns())
        values = self._predict(model, seen, None)
        if len(values) < policy.horizon:
            raise ConfigError(
                f"{policy.source}: horizon: describes {policy.horizon} actions, but the checkpoint"
                f" {model.description} gives {len(values)}"
            )
        if model.guided:
            self._predict(model, seen, Guidance(values, delay=1, end=len(values)))
        model.reset()

    def _predict(
        self, model: LeRobotModel, observation: Observation, guidance: Guidance | None
    ) -> NDArray[np.float32]:
        given = policy_input(self.policy, observation)
        state = given.state_vector.astype(np.float32)
        values = model.predict(
            observation.stamp_ns, given.video, state, observation.instruction, guidance
        )
        return values[: self.policy.horizon]


def _shown(value: object) -> str:
    return (", ".join(value) or "none") if isinstance(value, list) else str(value)
