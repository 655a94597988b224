# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from test.core.helpers import POLICY, policy
from test.core.refusals import changed, refused
from vla_ros.core.errors import ConfigError
from vla_ros.core.model_spec import ImageInput, StateInput

MODEL = """
model:
  file: two_joints.onnx
  device: cpu
  inputs:
    image: {video: front, layout: NCHW, dtype: float32, range: 0..1}
    joints: {state: [arm, hand], layout: ND, dtype: float32}
  output: {name: chunk}
"""
IMAGE = "{video: front, layout: NCHW, dtype: float32, range: 0..1}"
JOINTS = "{state: [arm, hand], layout: ND, dtype: float32}"
TOLD = POLICY + MODEL


def test_which_input_is_what_is_read():
    model = policy(TOLD).model

    assert model is not None
    assert (model.file, model.device, model.output) == ("two_joints.onnx", "cpu", "chunk")
    assert model.normalization is None
    image, joints = model.inputs["image"], model.inputs["joints"]
    assert isinstance(image, ImageInput)
    assert (image.video, image.layout, image.dtype) == ("front", "NCHW", "float32")
    assert (image.full_scale, image.size, image.normalization) == (1.0, None, None)
    assert isinstance(joints, StateInput)
    assert (joints.state, joints.batched, joints.dtype) == (("arm", "hand"), True, "float32")
    assert joints.normalization is None


def test_what_may_be_left_out_is_read():
    text = changed(
        TOLD, "range: 0..1", "range: 0..255, size: [2, 3], mean: [1, 2, 3], std: [4, 5, 6]"
    )
    text = changed(
        text, "layout: ND, dtype: float32", "layout: D, dtype: float64, mean: [1, 2], std: [3, 4]"
    )
    text = changed(text, "name: chunk", "name: chunk, mean: [0, 1], std: [2, -4]")
    model = policy(text).model

    assert model is not None
    image, joints = model.inputs["image"], model.inputs["joints"]
    assert isinstance(image, ImageInput)
    assert (image.full_scale, image.size) == (255.0, (2, 3))
    assert image.normalization is not None
    np.testing.assert_array_equal(image.normalization.apply(np.array([5.0, 7.0, 9.0])), [1, 1, 1])
    assert isinstance(joints, StateInput)
    assert (joints.batched, joints.dtype) == (False, "float64")
    assert model.normalization is not None
    rows = np.array([[1.0, 1.0], [0.5, 0.0]])
    np.testing.assert_array_equal(model.normalization.undo(rows), [[2.0, -3.0], [1.0, 1.0]])
    np.testing.assert_array_equal(model.normalization.apply(model.normalization.undo(rows)), rows)


def test_other_policies_need_not_say_it():
    assert policy(POLICY).model is None
    with refused(ConfigError, "policy.yaml: backend x needs the section model"):
        policy(POLICY).model_for("backend x needs")
    told = policy(TOLD)
    assert told.model_for("backend x needs") is told.model


def test_a_policy_of_several_moments_needs_an_axis_for_them():
    moving = changed(TOLD, "{camera: left}", "{camera: left, delta_indices: [-2, 0]}")

    with refused(ConfigError, "model.inputs.image.layout: must be one of NTCHW, NTHWC, TCHW, THWC"):
        policy(moving)
    assert policy(changed(moving, "NCHW", "NTCHW")).model is not None
    with refused(ConfigError, "model.inputs.image.layout: must be one of NCHW, NHWC, CHW, HWC; fo"):
        policy(changed(TOLD, "NCHW", "NTCHW"))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("  file: two_joints.onnx\n", "", "model.file: required string is missing"),
        ("  device: cpu\n", "  device: cpu\n  colour: red\n", "model.colour: unknown key"),
        ("{name: chunk}", "{}", "model.output.name: required string is missing"),
        ("{name: chunk}", "{name: chunk, mean: [1]}", "model.output: must have both of the keys m"),
        ("{name: chunk}", "{name: chunk, mean: [1], std: [1]}", "mean: must be a list of 2 num"),
        ("{name: chunk}", "{name: chunk, mean: [1, 1], std: [0, 1]}", "std: must not hold zero"),
        (f"\n    image: {IMAGE}\n    joints: {JOINTS}", " {}", "inputs: must hold at least one en"),
        (IMAGE, "{layout: NCHW}", "inputs.image: must have one of the keys video and state"),
        (IMAGE, "{video: front, state: [arm]}", "inputs.image: must have one of the keys video a"),
        ("video: front", "video: back", "inputs.image.video: must be one of front; found str 'ba"),
        ("range: 0..1", "range: 0..2", "inputs.image.range: must be one of 0..1, 0..255; found"),
        ("range: 0..1", "range: 0..1, size: [2]", "inputs.image.size: must be [H, W], found [2]"),
        ("NCHW, dtype: float32", "NCHW, dtype: uint8", "dtype: uint8 has the range 0..255, witho"),
        ("NCHW, dtype: float32", "NCHW, dtype: int8", "image.dtype: must be one of uint8, float16"),
        ("[arm, hand], lay", "[arm, foot], lay", "joints.state: foot is no state key of the pol"),
        ("layout: ND", "layout: DN", "inputs.joints.layout: must be one of ND, D; found str 'DN'"),
    ],
)
def test_what_does_not_fit_is_refused(old: str, new: str, words: str):
    with refused(ConfigError, words):
        policy(changed(TOLD, old, new))


def test_bytes_cannot_be_normalized():
    text = changed(
        TOLD,
        "dtype: float32, range: 0..1",
        "dtype: uint8, range: 0..255, mean: [0, 0, 0], std: [1, 1, 1]",
    )

    with refused(ConfigError, "uint8 has the range 0..255, without mean and std"):
        policy(text)
