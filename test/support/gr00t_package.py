# SPDX-License-Identifier: Apache-2.0
"""Stands in for the package gr00t (N1.6 and later): the same interface, without weights.

Its policy checks an observation as NVIDIA's does, and goes a hundredth further at each step.
"""

from __future__ import annotations

import sys
import types
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import pytest

from test.support.gr00t_samples import HORIZON, INSTRUCTION_KEY

CHECKPOINT = "somebody/checkpoint"
VIDEO = ("front", "wrist")
STATE = {"single_arm": 5, "gripper": 1}


class EmbodimentTag(Enum):
    """Two of NVIDIA's."""

    NEW_EMBODIMENT = "new_embodiment"
    UNITREE_G1 = "unitree_g1_full_body"


@dataclass
class ModalityConfig:
    """As NVIDIA's."""

    delta_indices: list[int]
    modality_keys: list[str]


class Gr00tPolicy:
    """As NVIDIA's."""

    loaded: list[Gr00tPolicy]

    def __init__(
        self,
        embodiment_tag: EmbodimentTag,
        model_path: str,
        *,
        device: int | str,
        strict: bool = True,
    ) -> None:
        if model_path != CHECKPOINT:
            raise OSError(f"{model_path} is not a local folder and is not a valid model identifier")
        self.arguments = (embodiment_tag, model_path, device, strict)
        self.model = types.SimpleNamespace(
            action_head=types.SimpleNamespace(num_inference_timesteps=4)
        )
        self.asked: list[dict[str, Any]] = []
        self.resets = 0
        self.loaded.append(self)

    def get_modality_config(self) -> dict[str, ModalityConfig]:
        return {
            "video": ModalityConfig([0], list(VIDEO)),
            "state": ModalityConfig([0], list(STATE)),
            "action": ModalityConfig(list(range(HORIZON)), list(STATE)),
            "language": ModalityConfig([0], [INSTRUCTION_KEY]),
        }

    def get_action(
        self, observation: dict[str, Any], options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        texts = observation["language"][INSTRUCTION_KEY]
        batch = len(texts)
        for key in VIDEO:
            image = observation["video"][key]
            assert image.dtype == np.uint8, f"Video key '{key}' must be of type np.uint8"
            assert image.shape[:2] == (batch, 1), f"Video key '{key}' must be (B, T, H, W, C)"
            assert image.shape[4:] == (3,), f"Video key '{key}' must have 3 channels"
        for key, size in STATE.items():
            values = observation["state"][key]
            assert values.dtype == np.float32, f"State key '{key}' must be of type np.float32"
            assert values.shape == (batch, 1, size), f"State key '{key}' must be (B, T, D)"
        assert all(isinstance(text, str) for [text] in texts)
        self.asked.append(observation)
        steps = np.arange(HORIZON, dtype=np.float32)[:, None] / np.float32(100)
        return {key: observation["state"][key] + steps for key in STATE}, {}

    def reset(self, options: dict[str, Any] | None = None) -> dict[str, Any]:
        self.resets += 1
        return {}


def install(monkeypatch: pytest.MonkeyPatch) -> list[Gr00tPolicy]:
    """Makes ``import gr00t`` find the stand-in; all policies that are loaded."""
    monkeypatch.setattr(Gr00tPolicy, "loaded", [], raising=False)
    for name, members in {
        "gr00t": {},
        "gr00t.policy": {},
        "gr00t.policy.gr00t_policy": {"Gr00tPolicy": Gr00tPolicy},
        "gr00t.data": {},
        "gr00t.data.embodiment_tags": {"EmbodimentTag": EmbodimentTag},
    }.items():
        module = types.ModuleType(name)
        module.__dict__.update(members)
        monkeypatch.setitem(sys.modules, name, module)
    return Gr00tPolicy.loaded
