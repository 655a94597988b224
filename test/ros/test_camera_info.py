# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from test.core.refusals import changed, refused
from vla_ros.core.errors import ConfigError
from vla_ros.ros.camera_info import load_camera_info

# As camera_calibration writes it.
CALIBRATION = """
image_width: 640
image_height: 480
camera_name: front
camera_matrix:
  rows: 3
  cols: 3
  data: [600.5, 0, 320.25, 0, 601., 240., 0, 0, 1]
distortion_model: plumb_bob
distortion_coefficients:
  rows: 1
  cols: 5
  data: [0.1, -0.2, 1e-3, 0.002, 0.0]
rectification_matrix:
  rows: 3
  cols: 3
  data: [1., 0, 0, 0, 1, 0, 0, 0, 1]
projection_matrix:
  rows: 3
  cols: 4
  data: [590., 0, 321., 0, 0, 595., 241., 0, 0, 0, 1, 0]
"""


def test_a_calibration_is_read(tmp_path: Path):
    path = tmp_path / "front.yaml"
    path.write_text(CALIBRATION)

    info = load_camera_info(path, height=480, width=640)

    assert (info.height, info.width, info.distortion_model) == (480, 640, "plumb_bob")
    assert list(info.d) == [0.1, -0.2, 0.001, 0.002, 0.0]
    assert list(info.k) == [600.5, 0.0, 320.25, 0.0, 601.0, 240.0, 0.0, 0.0, 1.0]
    assert list(info.r) == [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    assert list(info.p) == [590.0, 0.0, 321.0, 0.0, 0.0, 595.0, 241.0, 0.0, 0.0, 0.0, 1.0, 0.0]


def test_the_camera_need_not_be_named_there(tmp_path: Path):
    path = tmp_path / "front.yaml"
    path.write_text(changed(CALIBRATION, "camera_name: front\n", ""))

    assert load_camera_info(path, height=480, width=640).width == 640


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("640", "1280", ("images of 480x1280 px", "480x640 (height x width)")),
        ("plumb_bob", "fisheye", ("distortion_model", "plumb_bob", "equidistant")),
        ("plumb_bob", "equidistant", ("distortion_coefficients.cols", "4")),
        ("0.002, 0.0]", "0.002]", ("distortion_coefficients.data",)),
        ("[600.5,", "[.nan,", ("camera_matrix.data",)),
        ("camera_name: front", "camera: front", ("camera",)),
        ("projection_matrix", "projection", ("projection",)),
    ],
)
def test_a_calibration_that_is_not_one_is_refused(tmp_path: Path, old: str, new: str, parts: tuple):
    path = tmp_path / "front.yaml"
    path.write_text(changed(CALIBRATION, old, new))

    with refused(ConfigError, "front.yaml", *parts):
        load_camera_info(path, height=480, width=640)


def test_a_missing_calibration_is_refused(tmp_path: Path):
    with refused(ConfigError, "front.yaml: cannot be read"):
        load_camera_info(tmp_path / "front.yaml", height=480, width=640)
