# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from test.core.helpers import POLICY, policy
from test.core.refusals import changed, refused
from vla_ros.core.errors import ConfigError
from vla_ros.core.image_size import Resize

CAMERA = "front: {camera: left}"


def resizes(entry: str) -> object:
    return policy(changed(POLICY, CAMERA, f"front: {{camera: left, {entry}}}")).resizes


def test_images_stay_as_the_camera_gives_them():
    assert policy().resizes == {}


@pytest.mark.parametrize(("how", "pad"), [("stretch", False), ("pad", True)])
def test_a_size_is_read(how: str, pad: bool):
    assert resizes(f"size: [224, 320], resize: {how}") == {"front": Resize(224, 320, pad)}
    assert Resize(224, 320, pad).size == (224, 320)


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("size: [224, 224]", "resize: required string is missing"),
        ("resize: pad", "size: required list is missing"),
        ("size: [224], resize: pad", "size: must be [H, W], found [224]"),
        ("size: [1, 2, 3], resize: pad", "size: must be [H, W], found [1, 2, 3]"),
        ("size: [0, 224], resize: pad", "size: must hold integers in [1, 8192], found int 0"),
        ("size: [9000, 224], resize: pad", "size: must hold integers in [1, 8192]"),
        ("size: 224, resize: pad", "size: must be a non-empty list of integers"),
        ("size: [2, 2], resize: crop", "resize: must be one of stretch, pad; found str 'crop'"),
    ],
)
def test_a_bad_size_is_refused(entry: str, problem: str):
    with refused(ConfigError, "policy.yaml: video.front", problem):
        resizes(entry)
