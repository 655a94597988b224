# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import pytest

from test.support.lerobot_samples import CAMERAS, STATE, golden
from vla_ros.core.errors import WireFormatError
from vla_ros.wire.lerobot.features import LeRobotFeatures, features_from, features_of
from vla_ros.wire.lerobot.policy_setup import decode_policy_setup

FEATURE = {"dtype": "float32", "shape": (2,), "names": ["a", "b"]}
IMAGE = {"dtype": "image", "shape": (480, 640, 3), "names": ["height", "width", "channels"]}


def test_features_are_those_that_lerobot_makes():
    theirs = decode_policy_setup(golden("policy_setup_4")).features

    assert features_of(STATE, CAMERAS) == theirs
    assert list(features_of(STATE, CAMERAS)) == list(theirs)
    assert features_from(theirs) == LeRobotFeatures(STATE, CAMERAS)


def test_lists_and_videos_are_taken():
    features = {
        "observation.images.front": {"dtype": "video", "shape": [4, 5, 3]},
        "observation.state": {"dtype": "float32", "shape": [1], "names": ("a",)},
    }

    assert features_from(features) == LeRobotFeatures(("a",), {"front": (4, 5)})


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"observation.state": None}, r"'observation\.state' must be .* found NoneType"),
        ({"observation.state": FEATURE | {"dtype": "int64"}}, "found dict"),
        ({"observation.state": FEATURE | {"shape": (3,)}}, "found dict"),
        ({"observation.state": FEATURE | {"shape": (2, 1)}}, "found dict"),
        ({"observation.state": FEATURE | {"names": ["a", 1]}}, "found dict"),
        ({"observation.state": FEATURE | {"names": "ab"}}, "found dict"),
        ({"observation.state": FEATURE | {"names": ["a", "a"]}}, "must differ; found tuple"),
        ({"observation.state": IMAGE}, "found dict"),
        ({"observation.images.x": FEATURE}, r"'observation\.images\.x' must be"),
        ({"observation.images.x": IMAGE | {"shape": (480, 640, 4)}}, "found dict"),
        ({"observation.images.x": IMAGE | {"shape": (0, 640, 3)}}, "found dict"),
        ({"observation.images.x": IMAGE | {"shape": (480, 1 << 17, 3)}}, "found dict"),
        ({"observation.images.x": IMAGE | {"shape": (480.0, 640, 3)}}, "found dict"),
        ({"observation.environment": IMAGE}, r"'observation\.environment' must be"),
        ({"x" * 10_000: IMAGE}, r"feature str 'x+\.\.\.x+' must be"),
    ],
)
def test_other_features_are_refused(changed: dict[str, Any], text: str):
    with pytest.raises(WireFormatError, match=text):
        features_from({"observation.state": FEATURE} | changed)


@pytest.mark.parametrize("features", [{}, {"observation.images.front": IMAGE}])
def test_there_must_be_a_state(features: dict[str, Any]):
    with pytest.raises(WireFormatError, match=r"must have observation\.state; found list"):
        features_from(features)
