# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_ros.core.transforms import (
    inverse,
    pose_from,
    rotation_from_rpy,
    rotation_vector,
    skew,
)

angles = st.floats(-math.pi, math.pi)
vectors = st.tuples(*[st.floats(-2.0, 2.0)] * 3)


def turn(axis: np.ndarray, angle: float) -> np.ndarray:
    """Rodrigues' formula, as a reference."""
    cross = skew(axis)
    return np.eye(3) + math.sin(angle) * cross + (1.0 - math.cos(angle)) * cross @ cross


def test_roll_is_applied_first_and_yaw_last():
    quarter = 0.5 * math.pi

    rotation = rotation_from_rpy((quarter, 0.0, quarter))

    # Roll brings y to z, which yaw leaves alone; yaw brings x to y.
    np.testing.assert_allclose(rotation @ [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], atol=1e-12)
    np.testing.assert_allclose(rotation @ [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], atol=1e-12)


def test_pitch_lowers_the_nose():
    rotation = rotation_from_rpy((0.0, 0.3, 0.0))

    np.testing.assert_allclose(
        rotation @ [1.0, 0.0, 0.0], [math.cos(0.3), 0.0, -math.sin(0.3)], atol=1e-12
    )


@given(st.tuples(angles, angles, angles))
def test_a_rotation_keeps_lengths_and_handedness(rpy: tuple[float, ...]):
    rotation = rotation_from_rpy(rpy)

    np.testing.assert_allclose(rotation.T @ rotation, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1.0)


@given(vectors, vectors)
def test_skew_is_the_cross_product(one: tuple[float, ...], other: tuple[float, ...]):
    np.testing.assert_allclose(skew(np.array(one)) @ other, np.cross(one, other), atol=1e-12)


@given(st.floats(0.0, math.pi), vectors)
def test_the_rotation_vector_gives_the_rotation_back(angle: float, vector: tuple[float, ...]):
    length = np.linalg.norm(vector)
    axis = np.array(vector) / length if length > 1e-3 else np.array([0.0, 0.6, 0.8])
    rotation = turn(axis, angle)

    found = rotation_vector(rotation)

    found_angle = float(np.linalg.norm(found))
    found_axis = found / found_angle if found_angle > 1e-9 else axis
    np.testing.assert_allclose(turn(found_axis, found_angle), rotation, atol=1e-6)
    assert found_angle <= math.pi + 1e-9


@pytest.mark.parametrize("axis", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (0.6, 0, -0.8), (-0.6, 0.8, 0)])
def test_half_a_turn_is_half_a_turn_about_its_axis(axis: tuple[float, ...]):
    found = rotation_vector(turn(np.array(axis, float), math.pi))

    assert np.linalg.norm(found) == pytest.approx(math.pi)
    assert abs(np.dot(found / math.pi, axis)) == pytest.approx(1.0)


def test_no_turn_has_no_rotation_vector():
    assert rotation_vector(np.eye(3)).tolist() == [0.0, 0.0, 0.0]


@given(st.tuples(angles, angles, angles), vectors)
def test_a_pose_and_its_inverse_are_nothing(rpy: tuple[float, ...], position: tuple[float, ...]):
    pose = pose_from(rotation_from_rpy(rpy), position)

    np.testing.assert_allclose(pose @ inverse(pose), np.eye(4), atol=1e-12)
