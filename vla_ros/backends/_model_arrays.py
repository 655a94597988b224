# SPDX-License-Identifier: Apache-2.0
"""Between a policy's own keys and units and the arrays of a model's file, in both directions.

Pure; any thread may call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_ros.backends._resize import stretched
from vla_ros.core.errors import RemotePolicyError
from vla_ros.core.model_spec import ImageInput, ModelSpec, StateInput
from vla_ros.core.policy_io import PolicyInput

_WHITE = 255.0
# The first axis of a layout, if it is one for several observations.
_BATCH = "N"


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


def takes_batches(model: ModelSpec) -> bool:
    """Whether each of the model's inputs has an axis for several observations."""
    return all(
        source.layout.startswith(_BATCH) if isinstance(source, ImageInput) else source.batched
        for source in model.inputs.values()
    )


def joined(arrays: Sequence[Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """The arrays for several observations as those for a batch of them.

    Args:
        arrays: For each observation, of the same shapes; see ``arrays_for``.
    """
    if len(arrays) == 1:
        return dict(arrays[0])
    return {name: np.concatenate([item[name] for item in arrays]) for name in arrays[0]}


def chunks_of(model: ModelSpec, output: NDArray[Any], count: int) -> NDArray[np.float64]:
    """(N, H, D) Actions in the policy's units, from the output.

    Args:
        model: What the output is.
        output: (N, H, D) as the model gave it; of one observation also (H, D).
        count: N, how many observations it was given.

    Raises:
        RemotePolicyError: It has another shape, or holds no floats.
    """
    chunks = output[None] if output.ndim == 2 and count == 1 else output
    if chunks.ndim != 3 or len(chunks) != count or chunks.dtype.kind != "f":
        allowed = "(H, D) or (1, H, D)" if count == 1 else f"({count}, H, D)"
        raise RemotePolicyError(
            f"output {model.output!r} must be {allowed} floats, found {output.shape} {output.dtype}"
        )
    values = chunks.astype(np.float64)
    return values if model.normalization is None else model.normalization.undo(values)


def _image(source: ImageInput, shown: NDArray[np.uint8]) -> NDArray[Any]:
    """(H, W, 3) or (T, H, W, 3) as the input wants it."""
    images = shown if source.size is None else stretched(shown, source.size)
    values: NDArray[Any] = images if source.dtype == "uint8" else _measured(source, images)
    if source.layout.endswith("CHW"):
        values = np.moveaxis(values, -1, -3)
    batch = (None,) if source.layout.startswith(_BATCH) else ()
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


def _state(source: StateInput, given: PolicyInput) -> NDArray[Any]:
    values = np.concatenate([given.state[key] for key in source.state])
    if source.normalization is not None:
        values = source.normalization.apply(values)
    batch = (None,) if source.batched else ()
    return np.ascontiguousarray(values[batch], source.dtype)
