# SPDX-License-Identifier: Apache-2.0
"""A checkpoint of LeRobot in this process, through LeRobot's own factory and processors.

Needs lerobot and torch, which nothing else here imports. For lerobot 0.4 and later, whose
checkpoints hold their own normalization. Images are (H, W, 3) uint8 RGB, vectors are in the
checkpoint's own units. One thread.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
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

from vla_ros.backends._batches import in_groups
from vla_ros.backends._lerobot_guidance import Guidance, GuidanceParams
from vla_ros.backends._lerobot_history import History, Shown
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


@dataclass(frozen=True, slots=True, eq=False)
class _Prepared:
    """An observation as the policy takes it.

    Attributes:
        batch: The policy's own names to values for a batch of one.
        window: What its queues hold, the oldest first; empty for a policy that does not look back.
    """

    batch: dict[str, Any]
    window: list[dict[str, Any]]


class LeRobotModel:
    """A policy with what goes before and after it. It remembers nothing; see ``new_history``.

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
        self._looks_at, self._step_ns = config.n_obs_steps, step_ns

    def new_history(self) -> History[dict[str, Any]]:
        """For one robot: what its observations are shown with, if the policy looks back."""
        return History(self._looks_at, self._step_ns)

    def predict(self, shown: Shown, guidance: Guidance | None = None) -> NDArray[np.float32]:
        """(T, A) The actions for an observation, as many as the policy gives.

        Args:
            shown: The observation; its history remembers it.
            guidance: What to go on from; heeded if ``guided``.

        Raises:
            RemotePolicyError: The policy failed.
        """
        with _failing(f"{self.type} failed", RemotePolicyError):
            batch, prefix = self._seen(shown, guidance if self.guided else None)
            how = {} if guidance is None or prefix is None else self._guide(prefix, guidance)
            return self._chunks([self._prepared(shown, batch)], **how)[0]

    def predict_all(self, shown: Sequence[Shown]) -> list[NDArray[np.float32]]:
        """(T, A) The actions for each of several observations, inferred together.

        Each is prepared alone, because some of LeRobot's processors take the first one's
        instruction for that of all. Instructions of several lengths may not fit into one batch.

        Args:
            shown: The observations, each with a history of its own.

        Raises:
            RemotePolicyError: The policy failed.
        """
        with _failing(f"{self.type} failed", RemotePolicyError):
            prepared = [self._prepared(one, self._seen(one)[0]) for one in shown]
            return in_groups(prepared, _form, self._chunks)

    def _seen(self, shown: Shown, guidance: Guidance | None = None) -> tuple[dict[str, Any], Any]:
        """A batch of one and a guidance's actions, normalized by the policy's own rules."""
        seen: dict[str, Any] = {
            f"{_IMAGES}.{key}": np.array(image) for key, image in shown.images.items()
        }
        if shown.state.size:
            seen[_STATE] = shown.state
        batch = prepare_observation_for_inference(seen, self._device, shown.task)
        if guidance is not None:
            batch[_ACTION] = torch.from_numpy(guidance.actions).unsqueeze(0)
        batch = self._before(batch)
        prefix = batch.pop(_ACTION, None)
        return batch, prefix

    def _prepared(self, shown: Shown, batch: dict[str, Any]) -> _Prepared:
        """What ``predict_action_chunk`` takes, and what it takes the policy's queues to hold.

        Only ``select_action`` fills them, which gives single actions.
        """
        queues = self._queues()
        if _STATE not in queues:
            return _Prepared(batch, [])
        config = self._policy.config
        if config.image_features:
            keys = list(config.image_features)
            batch[_IMAGES] = torch.stack([batch[key] for key in keys], dim=-4)
        looked_at = {key: batch[key] for key in queues if key in batch}
        return _Prepared(batch, shown.history.window(shown.stamp_ns, looked_at))

    def _chunks(self, prepared: Sequence[_Prepared], **how: Any) -> list[NDArray[np.float32]]:
        """(T, A) for each."""
        queues = self._queues()
        # All that they hold is replaced: whose it was, and how many, does not matter.
        for moment in zip(*(one.window for one in prepared), strict=True):
            for key in moment[0]:
                queues[key].append(torch.cat([item[key] for item in moment]))
        chunks = self._policy.predict_action_chunk(_joined(prepared), **how)
        if len(chunks) != len(prepared):
            raise RemotePolicyError(
                f"{self.type} must give {len(prepared)} chunks of actions, found {len(chunks)}"
            )
        return [self._values(chunks[index : index + 1]) for index in range(len(prepared))]

    def _values(self, chunk: Any) -> NDArray[np.float32]:
        """(T, A) in the checkpoint's units, from (1, T, A)."""
        actions = self._after(chunk)
        if actions.ndim != chunk.ndim:
            # GR00T's postprocessor keeps one action of a chunk, but takes any number apart.
            actions = self._after(chunk[0]).unsqueeze(0)
        values: NDArray[np.float32] = actions.detach().float().cpu().numpy()
        if values.ndim != 3 or len(values) != 1:
            raise RemotePolicyError(
                f"{self.type} must give actions of shape (1, T, A), found {values.shape}"
            )
        only: NDArray[np.float32] = values[0]
        return only

    def _queues(self) -> dict[str, Any]:
        """What the policy is shown, where it looks back."""
        return vars(self._policy).get("_queues") or {}

    def _guide(self, prefix: Any, guidance: Guidance) -> dict[str, Any]:
        # Where LeRobot's guided part ends: its own "execution horizon". Not every policy takes it
        # as an argument, but all have it in their configuration.
        self._policy.config.rtc_config.execution_horizon = guidance.end
        return {"inference_delay": guidance.delay, "prev_chunk_left_over": prefix}


def _form(prepared: _Prepared) -> Hashable:
    """What observations of one batch have in common."""
    return tuple((key, _form_of(value)) for key, value in prepared.batch.items())


def _form_of(value: Any) -> Hashable:
    if isinstance(value, torch.Tensor):
        return tuple(value.shape[1:])
    return list if isinstance(value, list) else repr(value)


def _joined(prepared: Sequence[_Prepared]) -> dict[str, Any]:
    """Batches as one."""
    first = prepared[0].batch
    if len(prepared) == 1:
        return first
    return {key: _joined_values([one.batch[key] for one in prepared]) for key in first}


def _joined_values(values: Sequence[Any]) -> Any:
    if isinstance(values[0], torch.Tensor):
        return torch.cat(list(values))
    if isinstance(values[0], list):
        return [item for value in values for item in value]
    return values[0]


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
