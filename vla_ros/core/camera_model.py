# SPDX-License-Identifier: Apache-2.0
"""A pinhole camera that stands somewhere: from points to pixels, and from pixels to a plane.

Pixels are (column, row); the centre of the first pixel is at (0.5, 0.5), so that the image spans
``[0, width] x [0, height]``. Metres. Immutable; any thread may call.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from vla_ros.core.camera_spec import CameraGeometry, CameraSpec
from vla_ros.core.transforms import Matrix, pose_from, rotation_from_rpy


def optical_pose(geometry: CameraGeometry) -> Matrix:
    """(4, 4) Pose of the optical frame (z forward, x right, y down) in the camera's parent link."""
    return pose_from(rotation_from_rpy(geometry.rpy_rad), geometry.position_m)


@dataclass(frozen=True, slots=True)
class CameraModel:
    """A camera where it stands.

    Attributes:
        pose: (4, 4) Its optical frame in the frame in which points are given.
        focal_px: Its focal length.
        width: Image width [px].
        height: Image height [px].
    """

    pose: Matrix
    focal_px: float
    width: int
    height: int

    @classmethod
    def of(cls, camera: CameraSpec, geometry: CameraGeometry, parent_pose: Matrix) -> CameraModel:
        """The camera of a robot, when its parent link stands at ``parent_pose``, (4, 4)."""
        return cls(
            pose=parent_pose @ optical_pose(geometry),
            focal_px=0.5 * camera.height / math.tan(0.5 * geometry.fovy_rad),
            width=camera.width,
            height=camera.height,
        )

    def project(self, points_m: Matrix) -> tuple[Matrix, Matrix]:
        """(N, 2) Pixels of (N, 3) points, and their (N,) depth [m]; only positive depth is seen."""
        seen = (points_m - self.pose[:3, 3]) @ self.pose[:3, :3]
        depth = seen[:, 2]
        with np.errstate(divide="ignore", invalid="ignore"):
            offset = self.focal_px * seen[:, :2] / depth[:, None]
        center: Matrix = np.array([0.5 * self.width, 0.5 * self.height])
        return center + offset, depth

    def on_plane(self, pixels: Matrix, height_m: float) -> Matrix:
        """(N, 3) Where the rays of (N, 2) pixels meet the plane z = ``height_m``.

        A ray that does not meet the plane before the camera gives NaN.
        """
        center = np.array([0.5 * self.width, 0.5 * self.height])
        ahead = np.column_stack([(pixels - center) / self.focal_px, np.ones(len(pixels))])
        rays = ahead @ self.pose[:3, :3].T
        rise = height_m - self.pose[2, 3]
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = rise / rays[:, 2]
            points: Matrix = self.pose[:3, 3] + scale[:, None] * rays
        points[~((scale > 0.0) & np.isfinite(scale))] = np.nan
        return points
