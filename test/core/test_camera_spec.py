# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from test.core.refusals import changed, refused
from vla_ros.core.camera_spec import CameraGeometry, CameraSpec, read_camera
from vla_ros.core.errors import ConfigError
from vla_ros.core.yaml_file import parse

CAMERA = """
topic: left/image_raw
transport: compressed
height: 240
width: 320
max_age_s: 0.2
"""
GEOMETRY = """
geometry:
  parent_link: base
  position_m: [1, 0.5, 0]
  rpy_rad: [0, -1.5, 0]
  fovy_rad: 0.9
"""


def read(text: str) -> CameraSpec:
    section = parse(text, source="robot.yaml")
    camera = read_camera(section)
    section.finish()
    return camera


def test_a_camera_is_read():
    assert read(CAMERA) == CameraSpec("left/image_raw", "compressed", 240, 320, 0.2, geometry=None)


def test_a_camera_with_geometry_is_read():
    geometry = CameraGeometry("base", (1.0, 0.5, 0.0), (0.0, -1.5, 0.0), 0.9)

    assert read(CAMERA + GEOMETRY).geometry == geometry


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("topic: left/image_raw\n", "", "topic: required string is missing (keys present: trans"),
        ("compressed", "jpeg", "transport: must be one of raw, compressed; found str 'jpeg'"),
        ("height: 240", "height: 0", "height: must be in [1, 8192], found 0"),
        ("height: 240", "height: 240.0", "height: must be an integer, found float 240.0"),
        ("width: 320", "width: 9000", "width: must be in [1, 8192], found 9000"),
        ("max_age_s: 0.2", "max_age_s: 0", "max_age_s: must be > 0, found 0.0"),
        (
            "max_age_s: 0.2",
            "max_age_s: .inf",
            "max_age_s: must be a finite number, found float inf",
        ),
        ("max_age_s", "max_age", "max_age_s: required number is missing (keys present: topic, "),
        ("geometry:", "geometri:", "geometri: unknown key (known here: geometry, height, max_age"),
        ("parent_link: base", "parent_link:", "geometry.parent_link: must be a non-empty string"),
        ("[1, 0.5, 0]", "[1, 0.5]", "geometry.position_m: must be a list of 3 numbers, found list"),
        ("-1.5", ".nan", "geometry.rpy_rad: must hold finite numbers, found float nan"),
        ("0.9", "52", "geometry.fovy_rad: must be > 0 and <= 3, found 52.0"),
        ("fovy_rad: 0.9", "fovy_rad: 0.9\n  fovx_rad: 1", "geometry.fovx_rad: unknown key (known"),
    ],
)
def test_a_bad_camera_is_refused(old: str, new: str, problem: str):
    with refused(ConfigError, f"robot.yaml: {problem}"):
        read(changed(CAMERA + GEOMETRY, old, new))
