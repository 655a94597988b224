# SPDX-License-Identifier: Apache-2.0
"""A camera's calibration as camera_calibration writes it, for sensor_msgs/CameraInfo.

Source of the format: camera_info_manager and image_proc of ROS (``ost.yaml``). Reads a file; any
thread may call.
"""

from __future__ import annotations

from pathlib import Path

from sensor_msgs.msg import CameraInfo

from vla_ros.core.section import Section
from vla_ros.core.yaml_file import load

# How many coefficients each model of lens distortion has.
_MODELS = {"plumb_bob": 5, "rational_polynomial": 8, "equidistant": 4}


def load_camera_info(path: Path, *, height: int, width: int) -> CameraInfo:
    """Read a calibration.

    Args:
        path: The file.
        height: Height of the camera's images [px].
        width: Their width [px].

    Returns:
        The message, without a header.

    Raises:
        ConfigError: The file is missing, malformed, or of images of another size.
    """
    root = load(path)
    sizes = ("image_height", "image_width")
    found = tuple(root.integer(key, minimum=1, maximum=8192) for key in sizes)
    if found != (height, width):
        raise root.error(
            f"the calibration is of images of {found[0]}x{found[1]} px, while the camera gives"
            f" {height}x{width} (height x width)"
        )
    if root.has("camera_name"):
        root.text("camera_name")
    model = root.choice("distortion_model", *_MODELS)
    info = CameraInfo(height=height, width=width, distortion_model=model)
    info.d = list(_matrix(root, "distortion_coefficients", 1, _MODELS[model]))
    info.k = _matrix(root, "camera_matrix", 3, 3)
    info.r = _matrix(root, "rectification_matrix", 3, 3)
    info.p = _matrix(root, "projection_matrix", 3, 4)
    root.finish()
    return info


def _matrix(root: Section, key: str, rows: int, columns: int) -> tuple[float, ...]:
    """(rows * columns,) Row after row."""

    def read(section: Section) -> tuple[float, ...]:
        section.integer("rows", minimum=rows, maximum=rows)
        section.integer("cols", minimum=columns, maximum=columns)
        return section.numbers("data", length=rows * columns)

    return root.entry(key, read)
