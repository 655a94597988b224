# SPDX-License-Identifier: Apache-2.0
"""Rotations and rigid transforms as plain arrays.

A pose is a (4, 4) float64 homogeneous matrix that maps a point of the child frame into the parent
frame. Radians and metres. Pure; any thread may call.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


def rotation_from_rpy(rpy_rad: Sequence[float]) -> Matrix:
    """(3, 3) Rotation of roll, pitch, yaw about the fixed x, y, z axes, as URDF means them."""
    roll, pitch, yaw = rpy_rad
    cr, sr = math.cos(roll), math.sin(roll)
    cp, sp = math.cos(pitch), math.sin(pitch)
    cy, sy = math.cos(yaw), math.sin(yaw)
    return np.array(
        [
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
            [-sp, cp * sr, cp * cr],
        ]
    )


def skew(vector: Matrix) -> Matrix:
    """(3, 3) The matrix that multiplies as the cross product with a (3,) vector does."""
    x, y, z = vector.tolist()
    return np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])


def rotation_vector(rotation: Matrix) -> Matrix:
    """(3,) Axis times angle [rad] of a rotation; the angle is in [0, pi]."""
    twice_sine = np.array(
        [
            rotation[2, 1] - rotation[1, 2],
            rotation[0, 2] - rotation[2, 0],
            rotation[1, 0] - rotation[0, 1],
        ]
    )
    sine = 0.5 * float(np.linalg.norm(twice_sine))
    cosine = 0.5 * (float(np.trace(rotation)) - 1.0)
    angle = math.atan2(sine, cosine)
    if sine > 1e-6:
        return twice_sine * (0.5 * angle / sine)
    if cosine > 0.0:
        return 0.5 * twice_sine
    # Half a turn: the axis is the direction that the rotation keeps.
    axis = rotation[:, int(np.argmax(np.diag(rotation)))].copy()
    axis[int(np.argmax(np.diag(rotation)))] += 1.0
    return axis * (math.pi / float(np.linalg.norm(axis)))


def pose_from(rotation: Matrix, position_m: Sequence[float] | Matrix) -> Matrix:
    """(4, 4) Pose from a (3, 3) rotation and a (3,) position."""
    pose = np.eye(4)
    pose[:3, :3] = rotation
    pose[:3, 3] = position_m
    return pose


def inverse(pose: Matrix) -> Matrix:
    """(4, 4) The inverse of a pose."""
    rotation = pose[:3, :3].T
    return pose_from(rotation, -rotation @ pose[:3, 3])
