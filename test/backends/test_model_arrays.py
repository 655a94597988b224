# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from test.core.helpers import POLICY
from test.core.refusals import changed, refused
from test.support.model_files import INPUTS, policy
from vla_ros.backends._model_arrays import arrays_for, chunks_of, joined, takes_batches
from vla_ros.core.errors import RemotePolicyError
from vla_ros.core.policy_io import PolicyInput

PIXELS = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
NOTHING = "mean: [0, 0, 0], std: [1, 1, 1]"
COLOURS = "mean: [0.5, 0.25, 0.0], std: [0.5, 0.25, 2.0]"


def given(video: np.ndarray = PIXELS) -> PolicyInput:
    return PolicyInput(
        video={"front": video},
        state={"arm": np.array([0.25]), "hand": np.array([0.5])},
        language={"task": "anything"},
    )


def image(how: str, video: np.ndarray = PIXELS, text: str = POLICY) -> np.ndarray:
    model = policy(inputs=f"image: {{video: front, {how}}}", text=text).model
    return arrays_for(model, given(video))["image"]


def state(how: str) -> np.ndarray:
    return arrays_for(policy(inputs=f"state: {{{how}}}").model, given())["state"]


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        ("HWC", PIXELS),
        ("NHWC", PIXELS[None]),
        ("CHW", PIXELS.transpose(2, 0, 1)),
        ("NCHW", PIXELS.transpose(2, 0, 1)[None]),
    ],
)
def test_axes_stand_as_the_model_wants_them(layout: str, expected: np.ndarray):
    shown = image(f"layout: {layout}, dtype: uint8, range: 0..255")

    np.testing.assert_array_equal(shown, expected, strict=True)
    assert shown.flags.c_contiguous


def test_moments_have_an_axis():
    frames = np.stack([PIXELS, PIXELS + 1])
    text = changed(POLICY, "{camera: left}", "{camera: left, delta_indices: [-2, 0]}")

    for layout, expected in (
        ("THWC", frames),
        ("NTHWC", frames[None]),
        ("TCHW", frames.transpose(0, 3, 1, 2)),
        ("NTCHW", frames.transpose(0, 3, 1, 2)[None]),
    ):
        how = f"layout: {layout}, dtype: uint8, range: 0..255"
        np.testing.assert_array_equal(image(how, frames, text), expected, strict=True)
    small = image("layout: THWC, dtype: uint8, range: 0..255, size: [2, 3]", frames, text)
    assert small.shape == (2, 2, 3, 3)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_values_are_in_the_range_and_of_the_type_that_the_model_wants(dtype: str):
    unit = image(f"layout: HWC, dtype: {dtype}, range: 0..1")
    byte = image(f"layout: HWC, dtype: {dtype}, range: 0..255")

    assert unit.dtype == byte.dtype == np.dtype(dtype)
    np.testing.assert_allclose(unit, PIXELS / 255, rtol=1e-3)
    np.testing.assert_array_equal(byte, PIXELS.astype(dtype))


@pytest.mark.parametrize("layout", ["NCHW", "HWC"])
def test_each_colour_is_normalized_after_the_range(layout: str):
    shown = image(f"layout: {layout}, dtype: float32, range: 0..1, {COLOURS}")

    colours = (PIXELS / 255 - [0.5, 0.25, 0.0]) / [0.5, 0.25, 2.0]
    expected = colours if layout == "HWC" else colours.transpose(2, 0, 1)[None]
    np.testing.assert_allclose(shown, expected, atol=1e-6)


def test_images_are_stretched():
    shown = np.repeat(np.repeat(np.uint8([[[0] * 3, [200] * 3]]), 4, axis=0), 3, axis=1)

    small = image("layout: HWC, dtype: uint8, range: 0..255, size: [2, 2]", shown)
    large = image("layout: HWC, dtype: uint8, range: 0..255, size: [8, 12]", shown)
    same = image("layout: HWC, dtype: uint8, range: 0..255, size: [4, 6]", shown)

    np.testing.assert_array_equal(small[..., 0], [[0, 200], [0, 200]])
    assert large.shape == (8, 12, 3)
    np.testing.assert_array_equal(large[:, [0, -1], 0], [[0, 200]] * 8)
    np.testing.assert_array_equal(same, shown)


def test_pixels_are_averaged_where_they_are_left_out():
    stripes = np.zeros((4, 6, 3), np.uint8)
    stripes[:, ::2] = 100

    small = image("layout: HWC, dtype: uint8, range: 0..255, size: [2, 3]", stripes)

    np.testing.assert_array_equal(small, np.full((2, 3, 3), 50, np.uint8))


def test_the_state_is_a_vector_of_the_keys_asked_for():
    np.testing.assert_array_equal(
        state("state: [hand, arm], layout: ND, dtype: float32"),
        np.float32([[0.5, 0.25]]),
        strict=True,
    )
    np.testing.assert_array_equal(
        state("state: [hand], layout: D, dtype: float64, mean: [1.0], std: [0.25]"),
        np.array([-2.0]),
        strict=True,
    )


@pytest.mark.parametrize(
    ("image", "state", "expected"),
    [("NCHW", "ND", True), ("NHWC", "ND", True), ("CHW", "ND", False), ("NCHW", "D", False)],
)
def test_a_model_takes_batches_if_each_input_has_an_axis_for_them(
    image: str, state: str, expected: bool
):
    inputs = (
        f"image: {{video: front, layout: {image}, dtype: uint8, range: 0..255}},"
        f" state: {{state: [arm, hand], layout: {state}, dtype: float32}}"
    )

    assert takes_batches(policy(inputs=inputs).model) is expected


def test_a_batch_has_the_observations_in_order():
    model = policy(inputs=INPUTS).model
    shown = [arrays_for(model, given(PIXELS + shade)) for shade in (0, 7, 90)]

    batch = joined(shown)

    assert {name: array.shape for name, array in batch.items()} == {
        "image": (3, 3, 2, 3),
        "state": (3, 2),
    }
    for index, one in enumerate(shown):
        for name, array in one.items():
            np.testing.assert_array_equal(batch[name][index : index + 1], array, strict=True)
    assert joined(shown[:1])["image"] is shown[0]["image"]


@pytest.mark.parametrize(("shape", "count"), [((10, 2), 1), ((1, 10, 2), 1), ((3, 10, 2), 3)])
def test_actions_are_taken_out(shape: tuple[int, ...], count: int):
    output = np.arange(20 * count, dtype=np.float32).reshape(shape)
    plain = policy(inputs=INPUTS).model
    normalized = policy(output="name: actions, mean: [1, -1], std: [2, 3]").model

    chunks = output.reshape(count, 10, 2).astype(np.float64)
    np.testing.assert_array_equal(chunks_of(plain, output, count), chunks, strict=True)
    np.testing.assert_array_equal(
        chunks_of(normalized, output, count), chunks * [2, 3] + [1, -1], strict=True
    )


@pytest.mark.parametrize(
    ("output", "count", "allowed"),
    [
        (np.zeros(3), 1, "(H, D) or (1, H, D)"),
        (np.zeros((2, 10, 2)), 1, "(H, D) or (1, H, D)"),
        (np.zeros((10, 2), int), 1, "(H, D) or (1, H, D)"),
        (np.zeros((3, 2)), 3, "(3, H, D)"),
        (np.zeros((1, 10, 2)), 3, "(3, H, D)"),
    ],
)
def test_what_is_no_chunk_is_refused(output: np.ndarray, count: int, allowed: str):
    words = f"must be {allowed} floats, found {output.shape} {output.dtype}"

    with refused(RemotePolicyError, "output 'actions'", words):
        chunks_of(policy().model, output, count)
