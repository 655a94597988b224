# SPDX-License-Identifier: Apache-2.0
"""A checkpoint as LeRobot's own programs load it and call it. Needs lerobot and torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from lerobot.configs.policies import PreTrainedConfig
from lerobot.policies.factory import get_policy_class, make_pre_post_processors
from lerobot.policies.rtc.configuration_rtc import RTCConfig

from test.support.lerobot_arm import CAMERAS, INSTRUCTION, LOOKS_BACK, state_of
from vla_ros.core.observation import Observation


class Pipeline:
    """A policy, what goes before it and what comes after it."""

    def __init__(self, folder: Path) -> None:
        config = PreTrainedConfig.from_pretrained(folder)
        self.policy = get_policy_class(config.type).from_pretrained(folder)
        self.before, self.after = make_pre_post_processors(self.policy.config, str(folder))

    def batch(self, seen: Observation) -> dict[str, Any]:
        """What the policy is shown."""
        batch = {"observation.state": torch.from_numpy(state_of(seen))[None], "task": [INSTRUCTION]}
        for camera, image in zip(CAMERAS, seen.images.values(), strict=True):
            pixels = torch.from_numpy(image.copy()).permute(2, 0, 1)[None]
            batch[f"observation.images.{camera}"] = pixels.type(torch.float32) / 255
        return self.before({key: batch[key] for key in batch if self._takes(key)})

    def chunk_in_real_time(self) -> None:
        """Has it heed what is left of the chunk before."""
        self.policy.config.rtc_config = RTCConfig(enabled=True, max_guidance_weight=10.0)
        self.policy.init_rtc_processor()

    def predict(self, seen: Observation, **how: Any) -> np.ndarray:
        """(T, A) The actions for an observation, in LeRobot's units."""
        if self.policy.config.type in LOOKS_BACK:
            return self._select(seen)
        chunk = self.policy.predict_action_chunk(self.batch(seen), **how)
        return torch.cat([self.after(chunk[:, index]) for index in range(chunk.shape[1])]).numpy()

    def _select(self, seen: Observation) -> np.ndarray:
        """By the only way that there is for policies that look back: action after action."""
        waiting = self.policy._queues["action"]
        waiting.clear()
        first = self.policy.select_action(self.batch(seen))
        return torch.cat([self.after(action) for action in (first, *waiting)]).numpy()

    def _takes(self, key: str) -> bool:
        return key == "task" or key in self.policy.config.input_features
