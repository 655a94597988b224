# SPDX-License-Identifier: Apache-2.0
"""Between a policy's own keys and units and the arrays of a model's file, in both directions.

Pure; any thread may call.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vla_ros.core.errors import RemotePolicyError
from vla_ros.core.model_spec import ImageInput, ModelSpec, StateInput
from vla_ros.core.policy_io import PolicyInput

_WHITE = 255.0


def arrays_for(model: ModelSpec, given: PolicyInput) -> dict[str, NDArray[Any]]:
    """The model's own name of each input to its array, C-contiguous.

    Args:
        model: Which input is what.
        given: What the policy is shown.
    """
    return {
        name: _image(source, given.video[source.video])
        if isinstance(source, ImageInput)
        else _state(source, given)
        for name, source in model.inputs.items()
    }


def actions_of(model: ModelSpec, output: NDArray[Any]) -> NDArray[np.float64]:
    """(H, D) Actions in the policy's units, from the output.

    Args:
        model: What the output is.
        output: (H, D) or (1, H, D) as the model gave it.

    Raises:
        RemotePolicyError: It has another shape, or holds no floats.
    """
    actions = output[0] if output.ndim == 3 and len(output) == 1 else output
    if actions.ndim != 2 or actions.dtype.kind != "f":
        raise RemotePolicyError(
            f"output {model.output!r} must be (H, D) or (1, H, D) floats,"
            f" found {output.shape} {output.dtype}"
        )
    values = actions.astype(np.float64)
    return values if model.normalization is None else model.normalization.undo(values)


def _image(source: ImageInput, shown: NDArray[np.uint8]) -> NDArray[Any]:
    """(H, W, 3) or (T, H, W, 3) as the input wants it."""
    images = shown if source.size is None else _stretched(shown, source.size)
    values: NDArray[Any] = images if source.dtype == "uint8" else _measured(source, images)
    if source.layout.endswith("CHW"):
        values = np.moveaxis(values, -1, -3)
    batch = (None,) if source.layout.startswith("N") else ()
    return np.ascontiguousarray(values[batch], source.dtype)


def _measured(source: ImageInput, images: NDArray[np.uint8]) -> NDArray[Any]:
    """(..., 3) Floats in the input's range, normalized. Half precision comes last."""
    dtype = np.float64 if source.dtype == "float64" else np.float32
    scale, offset = np.full(3, source.full_scale / _WHITE), np.zeros(3)
    if source.normalization is not None:
        scale = scale / source.normalization.std
        offset = source.normalization.apply(offset)
    values: NDArray[Any] = images.astype(dtype) * scale.astype(dtype) + offset.astype(dtype)
    return values


def _stretched(shown: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    height, width = size
    if shown.ndim == 4:
        return np.stack([_stretched(image, size) for image in shown])
    if shown.shape[:2] == size:
        return shown
    # Averages where pixels are left out, as image libraries for models do.
    shrinks = height * width < shown.shape[0] * shown.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(shown, (width, height), interpolation=how), np.uint8)


def _state(source: StateInput, given: PolicyInput) -> NDArray[Any]:
    values = np.concatenate([given.state[key] for key in source.state])
    if source.normalization is not None:
        values = source.normalization.apply(values)
    batch = (None,) if source.batched else ()
    return np.ascontiguousarray(values[batch], source.dtype)
