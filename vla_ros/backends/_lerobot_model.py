# SPDX-License-Identifier: Apache-2.0
"""A checkpoint of LeRobot in this process, through LeRobot's own factory and processors.

Needs lerobot and torch, which nothing else here imports. For lerobot 0.4 and later, whose
checkpoints hold their own normalization. Images are (H, W, 3) uint8 RGB, vectors are in the
checkpoint's own units. One thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import lerobot.policies  # noqa: F401 - makes the kinds of policies known
import numpy as np
import torch
from draccus.utils import DraccusException
from lerobot.configs.policies import PreTrainedConfig
from lerobot.configs.types import RTCAttentionSchedule
from lerobot.policies.factory import get_policy_class, make_pre_post_processors
from lerobot.policies.rtc.configuration_rtc import RTCConfig
from lerobot.policies.utils import prepare_observation_for_inference
from lerobot.processor.pipeline import ProcessorMigrationError
from numpy.typing import NDArray
from safetensors import SafetensorError

from vla_ros.backends._lerobot_guidance import Guidance, GuidanceParams
from vla_ros.backends._lerobot_history import History
from vla_ros.core.errors import ConfigError, RemotePolicyError, VlaRosError

_IMAGES = "observation.images"
_STATE = "observation.state"
_ACTION = "action"
# Cameras that SmolVLA fills in by itself.
_EMPTY_CAMERA = "empty_camera_"
# Real-time chunking where LeRobot does not say yet which policies can do it (0.4).
_GUIDED = frozenset({"pi0", "pi05", "smolvla"})
# What LeRobot, torch and transformers raise, whatever is wrong.
_FAILURES = (
    AssertionError, AttributeError, DraccusException, ImportError, LookupError, OSError,
    ProcessorMigrationError, RuntimeError, SafetensorError, TypeError, ValueError,
)  # fmt: skip


class LeRobotModel:
    """A policy with what goes before and after it.

    Attributes:
        description: What was loaded, for people.
        type: LeRobot's name of its kind.
        cameras: Camera to (H, W) of the images that it was trained on.
        state_size: How many values its state has.
        action_size: How many values its actions have.
        guided: Whether it goes on from a ``Guidance``.
    """

    def __init__(
        self, checkpoint: str, device: str, *, step_ns: int, guidance: GuidanceParams | None
    ) -> None:
        """Load a checkpoint.

        Args:
            checkpoint: A folder, or a name on the hub.
            device: Torch's name of the device.
            step_ns: Time from one action to the next, and between the observations of policies
                that look back.
            guidance: How chunks are guided, where the policy can be; None: never.

        Raises:
            ConfigError: It cannot be loaded.
        """
        with _failing(f"checkpoint {checkpoint} cannot be loaded on {device}", ConfigError):
            self._device = torch.device(device)
            config: Any = PreTrainedConfig.from_pretrained(checkpoint)
            config.device = device
            self._policy: Any = get_policy_class(config.type).from_pretrained(
                checkpoint, config=config
            )
            # Else real-time chunking would have torch note down every step, for nothing.
            self._policy.requires_grad_(requires_grad=False)
            self._before, self._after = make_pre_post_processors(
                config,
                pretrained_path=checkpoint,
                preprocessor_overrides={"device_processor": {"device": device}},
                postprocessor_overrides={"device_processor": {"device": "cpu"}},
            )
        self.type: str = config.type
        self.description = f"{checkpoint} ({config.type}) on {device}, lerobot {version('lerobot')}"
        self.cameras = {
            key.removeprefix(f"{_IMAGES}."): tuple(feature.shape[1:])
            for key, feature in config.image_features.items()
            if not key.startswith(f"{_IMAGES}.{_EMPTY_CAMERA}")
        }
        state, action = config.robot_state_feature, config.action_feature
        self.state_size: int = state.shape[0] if state else 0
        self.action_size: int = action.shape[0] if action else 0
        self.guided = guidance is not None and _can_be_guided(self._policy, config.type)
        if guidance is not None and self.guided:
            config.rtc_config = RTCConfig(
                enabled=True,
                prefix_attention_schedule=RTCAttentionSchedule[guidance.schedule.upper()],
                max_guidance_weight=guidance.max_weight,
            )
            self._policy.init_rtc_processor()
        self._history: History[dict[str, Any]] = History(config.n_obs_steps, step_ns)

    def predict(
        self,
        stamp_ns: int,
        images: Mapping[str, NDArray[np.uint8]],
        state: NDArray[np.float32],
        task: str,
        guidance: Guidance | None = None,
    ) -> NDArray[np.float32]:
        """(T, A) The actions for an observation, as many as the policy gives.

        Args:
            stamp_ns: The moment of the observation, for policies that look back.
            images: Camera to image.
            state: (S,) The state; empty for a policy that has none.
            task: The instruction.
            guidance: What to go on from; heeded if ``guided``.

        Raises:
            RemotePolicyError: The policy failed.
        """
        with _failing(f"{self.type} failed", RemotePolicyError):
            seen: dict[str, Any] = {f"{_IMAGES}.{key}": np.array(images[key]) for key in images}
            if state.size:
                seen[_STATE] = state
            batch = prepare_observation_for_inference(seen, self._device, task)
            if guidance is not None and self.guided:
                # Normalized with everything else, so by the policy's own rules.
                batch[_ACTION] = torch.from_numpy(guidance.actions).unsqueeze(0)
            batch = self._before(batch)
            prefix = batch.pop(_ACTION, None)
            how = {} if guidance is None or prefix is None else self._guide(prefix, guidance)
            self._remember(stamp_ns, batch)
            chunk = self._policy.predict_action_chunk(batch, **how)
            actions = self._after(chunk)
            if actions.ndim != chunk.ndim:
                # GR00T's postprocessor keeps one action of a chunk, but takes any number apart.
                actions = self._after(chunk[0]).unsqueeze(0)
            values: NDArray[np.float32] = actions.detach().float().cpu().numpy()
        if values.ndim != 3 or len(values) != 1:
            raise RemotePolicyError(
                f"{self.type} must give actions of shape (1, T, A), found {values.shape}"
            )
        chunk_values: NDArray[np.float32] = values[0]
        return chunk_values

    def reset(self) -> None:
        """Forget the episode."""
        self._history.clear()
        self._policy.reset()

    def _guide(self, prefix: Any, guidance: Guidance) -> dict[str, Any]:
        # Where LeRobot's guided part ends: its own "execution horizon". Not every policy takes it
        # as an argument, but all have it in their configuration.
        self._policy.config.rtc_config.execution_horizon = guidance.end
        return {"inference_delay": guidance.delay, "prev_chunk_left_over": prefix}

    def _remember(self, stamp_ns: int, batch: dict[str, Any]) -> None:
        """Fills the queues of a policy that looks back.

        Only its ``select_action`` does that, which gives single actions; ``predict_action_chunk``
        takes them to be filled.
        """
        queues = vars(self._policy).get("_queues") or {}
        if _STATE not in queues:
            return
        config = self._policy.config
        if config.image_features:
            keys = list(config.image_features)
            batch[_IMAGES] = torch.stack([batch[key] for key in keys], dim=-4)
        looked_at = {key: batch[key] for key in queues if key in batch}
        for item in self._history.window(stamp_ns, looked_at):
            for key, value in item.items():
                queues[key].append(value)


@contextmanager
def _failing(what: str, error: type[VlaRosError]) -> Iterator[None]:
    """Says what failed, in the words of whoever failed."""
    try:
        yield
    except _FAILURES as failure:
        raise error(f"{what}: {type(failure).__name__}: {failure}") from failure


def _can_be_guided(policy: Any, kind: str) -> bool:
    asked = getattr(policy, "supports_rtc", None)
    able = kind in _GUIDED if asked is None else asked()
    return able and hasattr(policy, "init_rtc_processor")
