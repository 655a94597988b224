# SPDX-License-Identifier: Apache-2.0
"""A policy whose model is a file: an image and a state in, a chunk out."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from test.core.helpers import POLICY
from vla_ros.core.observation import Observation
from vla_ros.core.policy_spec import PolicySpec, policy_spec_from
from vla_ros.core.yaml_file import parse

HORIZON = 10
IMAGE = "{video: front, layout: NCHW, dtype: float32, range: 0..1, size: [2, 3]}"
STATE = "{state: [arm, hand], layout: ND, dtype: float32}"
INPUTS = f"image: {IMAGE}, state: {STATE}"


def policy(
    file: str = "model.pt",
    *,
    device: str = "cpu",
    inputs: str = INPUTS,
    output: str = "name: actions",
    folder: Path = Path(),
    text: str = POLICY,
) -> PolicySpec:
    """A policy of ten actions of two values, whose file lies in a folder."""
    model = f"model: {{file: {file}, device: {device}, inputs: {{{inputs}}}, output: {{{output}}}}}"
    return policy_spec_from(parse(f"{text}\n{model}\n", source=str(folder / "policy.yaml")))


def observation(shade: int = 0) -> Observation:
    """An image of one shade, and two joints."""
    return Observation(
        stamp_ns=1_700_000_000_000_000_000,
        instruction="anything",
        images={"left": np.full((4, 6, 3), shade, np.uint8)},
        state_names=("a/position", "g/position"),
        state=np.array([0.25, 0.5]),
    )


def chunk(state: np.ndarray, shade: float) -> np.ndarray:
    """(1, H, 2) What the models answer: a step of a tenth each, from the state and the shade."""
    steps = np.arange(HORIZON, dtype=np.float32)[:, None] * np.float32(0.1)
    return (np.float32(state) + np.float32(shade) + steps)[None]
