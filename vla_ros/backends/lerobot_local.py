# SPDX-License-Identifier: Apache-2.0
"""A checkpoint of LeRobot in this process: ACT, Diffusion, VQ-BeT, SmolVLA, pi0, pi0.5 and others.

Everything that LeRobot does with an observation and its actions is done by LeRobot itself. The
clients of a server share one policy; what each of their robots saw before, where it looks back, is
kept by a backend of each one's own. One thread. No call can be broken off: ``infer`` takes as long
as the policy does, and ``connect`` as long as it takes to load it. lerobot and torch are imported
when a policy is loaded.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from vla_ros.backends._batches import found_max_batch, require_batch
from vla_ros.backends._guided_inpainting import Schedule
from vla_ros.backends._lerobot_guidance import Guidance, GuidanceParams, guidance_from
from vla_ros.backends._lerobot_history import History, Shown
from vla_ros.backends._warm_up import grey_observation, unlike_observations
from vla_ros.backends.base import BatchItem, PolicyBackend, PolicyInfo
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
    max_batch: int = param(
        8, "Observations inferred at once at most, if the policy can.", ge=1, le=1024,
        read_only=True,
    )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class _Loaded:
    """A policy that was checked and tried."""

    model: LeRobotModel
    info: PolicyInfo


class Backend(PolicyBackend):
    """Calls a policy of LeRobot."""

    Config = LeRobotLocalConfig
    per_client = True
    _loaded: _Loaded | None = None

    def __init__(
        self, config: LeRobotLocalConfig, *, shared: _Loaded | None = None, **facts: Any
    ) -> None:
        """Keep the facts; see ``PolicyBackend``.

        Args:
            config: The parameters.
            shared: A policy of the same facts that is loaded already; None: it is to be loaded.
            facts: See ``PolicyBackend``.

        Raises:
            ConfigError: The policy's description does not say what LeRobot has to be told.
        """
        super().__init__(config, **facts)
        self._lerobot = self.policy.lerobot_for("backend lerobot_local needs")
        self._shared = shared
        self._history: History[dict[str, Any]] = History(1, self.policy.step_ns)

    def connect(self) -> PolicyInfo:
        """Load the policy, check it against the description, and let it infer a few times.

        The first inference is slow, so that it is not left to the first observation. Whether the
        policy can infer several at once is found out by trying. One that shares a policy only
        begins an episode.

        Raises:
            ConfigError: lerobot is not installed, the checkpoint cannot be loaded or does not fit.
            RemotePolicyError: The policy fails on grey images of the robot's cameras.
        """
        self.close()
        loaded = self._shared
        if loaded is None:
            model = self._load()
            self._check(model)
            loaded = _Loaded(model, self._warmed_up(model))
        self._history = loaded.model.new_history()
        self._loaded = loaded
        return loaded.info

    def infer(self, observation: Observation, prefix: Prefix | None = None) -> ActionChunk:
        """The chunk for an observation; see ``PolicyBackend``.

        Raises:
            BackendUnavailable: ``connect`` was not called.
            RemotePolicyError: The policy failed.
        """
        model = self._connected().model
        guidance = None
        if prefix is not None and model.guided:
            guidance = guidance_from(self.policy, prefix)
        sent_ns = self.now_ns()
        values = model.predict(self.shown(observation), guidance)
        return self._chunk(observation, values, sent_ns)

    def infer_batch(self, items: Sequence[BatchItem]) -> list[ActionChunk]:
        """A chunk for each of several observations; see ``PolicyBackend``.

        Those with a prefix are inferred one by one: LeRobot guides single chunks only.

        Raises:
            BackendUnavailable: ``connect`` was not called.
            RemotePolicyError: The policy failed, or there are more than it infers at once.
        """
        loaded = self._connected()
        require_batch(items, loaded.info.max_batch)
        guided = [item.prefix is not None and loaded.model.guided for item in items]
        free = [item for item, alone in zip(items, guided, strict=True) if not alone]
        sent_ns = self.now_ns()
        # The server made their backends by ``another``.
        shown = [cast(Backend, item.backend).shown(item.observation) for item in free]
        answers = loaded.model.predict_all(shown)
        chunks = iter(
            [
                self._chunk(item.observation, values, sent_ns)
                for item, values in zip(free, answers, strict=True)
            ]
        )
        return [
            item.backend.infer(item.observation, item.prefix) if alone else next(chunks)
            for item, alone in zip(items, guided, strict=True)
        ]

    def shown(self, observation: Observation) -> Shown:
        """What the policy is shown of this client's robot.

        Raises:
            ConfigError: The observation lacks what the policy needs.
        """
        given = policy_input(self.policy, observation)
        return Shown(
            stamp_ns=observation.stamp_ns,
            images=given.video,
            state=given.state_vector.astype(np.float32),
            task=observation.instruction,
            history=self._history,
        )

    def reset(self) -> None:
        """Forget the episode: what this client's robot saw. The policy itself remembers nothing."""
        self._history.clear()

    def close(self) -> None:
        """Let go of the policy, and of its memory."""
        self._loaded = None
        self._history.clear()

    def another(self) -> Backend:
        """One that remembers another episode and, if this one has a policy, shares it."""
        return Backend(
            self.config, robot=self.robot, policy=self.policy, now_ns=self.now_ns,
            shared=self._loaded,
        )  # fmt: skip

    def _connected(self) -> _Loaded:
        if self._loaded is None:
            raise BackendUnavailable("the policy is not loaded; call connect first")
        return self._loaded

    def _chunk(
        self, observation: Observation, values: NDArray[np.float32], sent_ns: int
    ) -> ActionChunk:
        received_ns = self.now_ns()
        by_key = split_columns(self.policy.action, values[: self.policy.horizon])
        actions = actions_from(self.policy, by_key)
        return self.chunk(observation, actions, sent_ns=sent_ns, received_ns=received_ns)

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

    def _warmed_up(self, model: LeRobotModel) -> PolicyInfo:
        """What the policy is, after its first inferences."""
        policy, stamp_ns = self.policy, self.now_ns()

        def infer(observations: Sequence[Observation]) -> list[NDArray[np.float32]]:
            self._history = model.new_history()
            return model.predict_all([self.shown(one) for one in observations])

        (values,) = infer([grey_observation(self.robot, policy, stamp_ns=stamp_ns)])
        if len(values) < policy.horizon:
            raise ConfigError(
                f"{policy.source}: horizon: describes {policy.horizon} actions, but the checkpoint"
                f" {model.description} gives {len(values)}"
            )
        unlike = unlike_observations(self.robot, policy, stamp_ns=stamp_ns)
        if model.guided:
            committed = values[: policy.horizon]
            told = Guidance(committed, delay=1, end=len(committed))
            model.predict(self.shown(unlike[0]), told)
        return PolicyInfo(
            description=f"LeRobot's {model.description}, in process",
            prefix="guided" if model.guided else "none",
            max_batch=found_max_batch(self.config.max_batch, infer, unlike),
        )


def _shown(value: object) -> str:
    return (", ".join(value) or "none") if isinstance(value, list) else str(value)
