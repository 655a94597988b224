# SPDX-License-Identifier: Apache-2.0
"""An observation in the policy's keys and units as a GR00T tree, and back.

One observation travels at a time (B = 1). Its images are of the T moments that the policy looks at,
its state is of now. Pure; any thread may call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_ros.core.errors import WireFormatError
from vla_ros.core.policy_io import PolicyInput
from vla_ros.core.policy_spec import PolicySpec
from vla_ros.wire.gr00t.jpeg import Each, JpegQuality, decode_images, encode_images
from vla_ros.wire.gr00t.modality import LANGUAGE, STATE, VIDEO
from vla_ros.wire.gr00t.wires import Arrangement, Gr00tWire, Layout
from vla_ros.wire.limits import DEFAULT_MAX_BYTES
from vla_ros.wire.shown import shown


def encode_observation(
    given: PolicyInput,
    arrangement: Arrangement,
    *,
    jpeg: JpegQuality | None = None,
    each: Each = map,
) -> dict[str, Any]:
    """An observation as a tree: images (B, T, H, W, C) uint8, state (B, T, D) float32.

    B is left out where the arrangement is not batched.

    Args:
        given: What the policy is shown.
        arrangement: How its server wants it.
        jpeg: How much of the images is kept in JPEG files, which servers of this package take;
            None: they are sent as they are.
        each: Calls for each image that is to be encoded.

    Raises:
        WireFormatError: An image is larger than a JPEG file can hold.
    """
    batch = (None,) if arrangement.batched else ()
    # What has no axis for its moments is of one moment.
    video: Mapping[str, Any] = {
        key: images[(*batch, None)] if images.ndim == 3 else images[batch]
        for key, images in given.video.items()
    }
    if jpeg is not None:
        video = encode_images(video, jpeg, each)
    state = {key: values.astype(np.float32)[(*batch, None)] for key, values in given.state.items()}
    if arrangement.layout is Layout.NESTED:
        language = {key: [[text]] for key, text in given.language.items()}
        return {VIDEO: video, STATE: state, LANGUAGE: language}
    return {
        **{f"{VIDEO}.{key}": image for key, image in video.items()},
        **{f"{STATE}.{key}": values for key, values in state.items()},
        **{key: [text] for key, text in given.language.items()},
    }


def decode_observation(
    tree: Mapping[str, Any],
    policy: PolicySpec,
    wire: Gr00tWire,
    *,
    max_bytes: int = DEFAULT_MAX_BYTES,
    each: Each = map,
) -> tuple[PolicyInput, Arrangement]:
    """The observation in a tree, and how it was arranged. Images are views, unless decoded.

    Keys that the policy does not name are ignored, as GR00T's server does; keys that are missing
    are left to ``observation_from``, which names them.

    Args:
        tree: What the client sent.
        policy: Whose keys are looked for.
        wire: The wire that it came in.
        max_bytes: How much memory images may take that came as JPEG files.
        each: Calls for each of these.

    Raises:
        WireFormatError: A value has the wrong type, shape or dtype; the text names its key.
    """
    nested = wire is not Gr00tWire.A5 and any(name in tree for name in (VIDEO, STATE, LANGUAGE))
    layout = Layout.NESTED if nested else Layout.FLAT
    video, state = _part(tree, VIDEO, layout), _part(tree, STATE, layout)
    language = _part(tree, LANGUAGE, layout) if nested else tree
    shown = {key: video[key] for key in policy.video if key in video}
    shown = decode_images(shown, max_bytes=max_bytes, each=each)
    measured = {key: state[key] for key in policy.state if key in state}
    given = PolicyInput(
        video={key: _images(key, value, wire, policy) for key, value in shown.items()},
        state={key: _vector(key, value, wire) for key, value in measured.items()},
        language={
            key: _text(key, language[key], layout)
            for key in (policy.instruction_key,)
            if key in language
        },
    )
    batched = all(value.ndim == 3 for value in measured.values()) if measured else True
    return given, Arrangement(wire, layout, batched=batched)


def _part(tree: Mapping[str, Any], name: str, layout: Layout) -> Mapping[str, Any]:
    if layout is Layout.FLAT:
        prefix = f"{name}."
        return {key[len(prefix) :]: item for key, item in tree.items() if key.startswith(prefix)}
    part = tree.get(name, {})
    if not isinstance(part, Mapping):
        raise WireFormatError(f"observation.{name} must be a map; found {shown(part)}")
    return part


def _images(key: str, value: Any, wire: Gr00tWire, policy: PolicySpec) -> NDArray[np.uint8]:
    """(H, W, 3) uint8, or (T, H, W, 3) where the policy looks at T > 1 moments."""
    moments = len(policy.video_deltas)
    expected = f"(B, T, H, W, C) = (1, {moments}, H, W, 3) uint8"
    array = _unwrapped(value, 5, wire, f"video key {key!r}", expected, moments)
    if array.dtype != np.uint8 or array.shape[-1] != 3 or 0 in array.shape:
        raise _wrong(f"video key {key!r}", value, expected)
    return array


def _vector(key: str, value: Any, wire: Gr00tWire) -> NDArray[np.float64]:
    """(D,) float64, without its leading axes."""
    expected = "(B, T, D) = (1, 1, D) float32 or float64"
    array = _unwrapped(value, 3, wire, f"state key {key!r}", expected)
    if array.dtype.kind != "f":
        raise _wrong(f"state key {key!r}", value, expected)
    return array.astype(np.float64)


def _unwrapped(
    value: Any, dimensions: int, wire: Gr00tWire, what: str, expected: str, moments: int = 1
) -> NDArray[Any]:
    """The array without B, which must be 1, and without T where it is 1. A5 may leave out B."""
    allowed = (dimensions, dimensions - 1) if wire is Gr00tWire.A5 else (dimensions,)
    if not isinstance(value, np.ndarray) or value.ndim not in allowed:
        raise _wrong(what, value, expected)
    leading = value.ndim - dimensions + 1
    if value.shape[: leading + 1] != (*(1,) * leading, moments):
        history = "without history" if moments == 1 else f"with {moments} moments"
        raise _wrong(what, value, f"{expected}, one observation at a time and {history}")
    array: NDArray[Any] = value[(0,) * (leading + (moments == 1))]
    return array


def _text(key: str, value: Any, layout: Layout) -> str:
    """The instruction: ``[[text]]`` nested, ``[text]`` or the text itself flat."""
    match layout, value:
        case Layout.NESTED, [[str() as text]]:
            return text
        case Layout.FLAT, [str() as text] | (str() as text):
            return text
    form = "[[text]]" if layout is Layout.NESTED else "[text]"
    raise _wrong(f"language key {key!r}", value, f"{form}, one observation at a time")


def _wrong(what: str, value: Any, expected: str) -> WireFormatError:
    return WireFormatError(f"{what} must be {expected}; found {shown(value)}")
