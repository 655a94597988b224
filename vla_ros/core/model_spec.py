# SPDX-License-Identifier: Apache-2.0
"""Which input of a model's file is what, and which of its outputs the actions are.

For models that are files of their own (TorchScript, torch.export, ONNX): nothing in them says what
their inputs mean. Immutable; any thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vla_ros.core.image_size import read_size
from vla_ros.core.section import Section

FloatType = Literal["float16", "float32", "float64"]
ImageType = Literal["uint8", "float16", "float32", "float64"]
_FLOATS: tuple[FloatType, ...] = ("float16", "float32", "float64")
_STILL = ("NCHW", "NHWC", "CHW", "HWC")
_MOVING = ("NTCHW", "NTHWC", "TCHW", "THWC")
_FULL_SCALE = {"0..1": 1.0, "0..255": 255.0}


@dataclass(frozen=True, slots=True, eq=False)
class Normalization:
    """What a model's values are measured from and in: ``(value - mean) / std``.

    Attributes:
        mean: (D,) float64.
        std: (D,) float64, never zero.
    """

    mean: NDArray[np.float64]
    std: NDArray[np.float64]

    def apply(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(..., D) Normalized values."""
        return (values - self.mean) / self.std

    def undo(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(..., D) The values behind normalized ones."""
        return values * self.std + self.mean


@dataclass(frozen=True, slots=True, eq=False)
class ImageInput:
    """An input that is shown a camera.

    Attributes:
        video: The policy's video key.
        layout: The axes' order; N is a batch of one, T the moments that the policy looks at.
        dtype: Of the values.
        full_scale: The value of a pixel that is white.
        size: (H, W) that images are stretched to [px]; None: shown as they are.
        normalization: Per colour, after ``full_scale``; None: none.
    """

    video: str
    layout: str
    dtype: ImageType
    full_scale: float
    size: tuple[int, int] | None
    normalization: Normalization | None


@dataclass(frozen=True, slots=True, eq=False)
class StateInput:
    """An input that is told the state.

    Attributes:
        state: The policy's state keys, whose values stand one after the other.
        batched: Whether its shape is (1, D), else (D,).
        dtype: Of the values.
        normalization: Per value, in the policy's units; None: none.
    """

    state: tuple[str, ...]
    batched: bool
    dtype: FloatType
    normalization: Normalization | None


@dataclass(frozen=True, slots=True, eq=False)
class ModelSpec:
    """The section ``model`` of a policy's description.

    Attributes:
        file: The model, as the process that loads it finds it; a relative one beside the
            description.
        device: ``cpu``, ``cuda`` or ``cuda:1``.
        inputs: The model's own name of each input to what it is given, all of them.
        output: The model's own name of the output that is the chunk.
        normalization: Of the actions, per value in the policy's units; None: none.
    """

    file: str
    device: str
    inputs: Mapping[str, ImageInput | StateInput]
    output: str
    normalization: Normalization | None


def read_model(
    section: Section,
    *,
    video: tuple[str, ...],
    state: Mapping[str, int],
    actions: int,
    moments: int,
) -> ModelSpec:
    """Read the section.

    Args:
        section: What stands in the file.
        video: The policy's video keys.
        state: Its state keys to how many values each has.
        actions: How many values an action has.
        moments: T, how many moments the policy looks at.

    Raises:
        ConfigError: A fact is missing, not allowed, or at odds with the rest of the description.
    """

    def read_input(given: Section) -> ImageInput | StateInput:
        if given.has("video") == given.has("state"):
            raise given.error("must have one of the keys video and state")
        if given.has("video"):
            return _image_input(given, video, moments)
        return _state_input(given, state)

    def read_output(given: Section) -> tuple[str, Normalization | None]:
        return given.text("name"), _normalization(given, actions)

    inputs = section.entries("inputs", read_input)
    output, normalization = section.entry("output", read_output)
    if not inputs:
        raise section.error("must hold at least one entry, found none", "inputs")
    return ModelSpec(section.text("file"), section.text("device"), inputs, output, normalization)


def _image_input(section: Section, video: tuple[str, ...], moments: int) -> ImageInput:
    layout = section.choice("layout", *(_STILL if moments == 1 else _MOVING))
    size = read_size(section) if section.has("size") else None
    normalization = _normalization(section, 3)
    dtype: ImageType = section.choice("dtype", "uint8", *_FLOATS)
    scale = section.choice("range", *_FULL_SCALE)
    if dtype == "uint8" and (normalization is not None or scale != "0..255"):
        raise section.error("uint8 has the range 0..255, without mean and std", "dtype")
    return ImageInput(
        video=section.choice("video", *video),
        layout=layout,
        dtype=dtype,
        full_scale=_FULL_SCALE[scale],
        size=size,
        normalization=normalization,
    )


def _state_input(section: Section, state: Mapping[str, int]) -> StateInput:
    keys = section.texts("state")
    for key in keys:
        if key not in state:
            known = ", ".join(state) or "none"
            raise section.error(f"{key} is no state key of the policy, which has {known}", "state")
    return StateInput(
        state=keys,
        batched=section.choice("layout", "ND", "D") == "ND",
        dtype=section.choice("dtype", *_FLOATS),
        normalization=_normalization(section, sum(state[key] for key in keys)),
    )


def _normalization(section: Section, length: int) -> Normalization | None:
    if section.has("mean") != section.has("std"):
        raise section.error("must have both of the keys mean and std, or none of them")
    if not section.has("mean"):
        return None
    mean = np.array(section.numbers("mean", length=length))
    return Normalization(mean, np.array(section.scales("std", length=length)))
