# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import mujoco
import numpy as np
import pytest

from vla_ros.sim.shapes import Hits, Rays, hit_box, hit_cylinder, single

BOX = np.array([0.1, 0.2, 0.05])
RADIUS_M, HALF_LENGTH_M = 0.1, 0.2
LAMP = np.array([0.5, -0.3, 1.0])
BACKWARD = np.array([0.6, 0.0, 0.8])


def rays_from(origin: np.ndarray, seed: int) -> Rays:
    """Rays of any length in random directions, most of them towards the shape."""
    rng = np.random.default_rng(seed)
    directions = rng.normal(0.0, 0.15, (3, 20, 30)) - origin[:, None, None]
    directions *= rng.uniform(0.1, 3.0, (20, 30))
    x, y, z = single(directions)
    return Rays(single(origin), (x, y, z), single(LAMP), single(BACKWARD))


def origins() -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    directions = rng.normal(size=(20, 3))
    return list(0.6 * directions / np.linalg.norm(directions, axis=1)[:, None])


def reference(rays: Rays, kind: int, size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(20, 30) Distance by MuJoCo, infinite where there is no hit, and (20, 30, 3) normal."""
    model = mujoco.MjModel.from_xml_string(
        "<mujoco><worldbody><geom type='{}' size='{}'/></worldbody></mujoco>".format(
            {mujoco.mjtGeom.mjGEOM_BOX: "box", mujoco.mjtGeom.mjGEOM_CYLINDER: "cylinder"}[kind],
            " ".join(str(part) for part in size),
        )
    )
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    vectors = np.stack(rays.direction, axis=-1).reshape(-1, 3).astype(float)
    count = len(vectors)
    geom, distance, normal = np.empty(count, np.int32), np.empty(count), np.empty(3 * count)
    mujoco.mj_multiRay(
        model, data, rays.origin.astype(float), vectors.ravel(), None, 1, -1, geom, distance,
        normal, count, 1e10,
    )  # fmt: skip
    distance[geom < 0] = np.inf
    return distance.reshape(20, 30), normal.reshape(20, 30, 3)


def check(hits: Hits, rays: Rays, distance: np.ndarray, normal: np.ndarray) -> None:
    met, expected = np.isfinite(hits.distance), np.isfinite(distance)
    # At an edge, single precision may see it either way.
    assert (met != expected).mean() < 0.005
    both = met & expected
    assert both.sum() > 50
    np.testing.assert_allclose(hits.distance[both], distance[both], rtol=1e-3)
    points = rays.origin + distance[..., None] * np.stack(rays.direction, axis=-1)
    with np.errstate(invalid="ignore"):
        toward_lamp = np.einsum("ijk,ijk->ij", normal, LAMP - points)
    toward_camera = normal @ BACKWARD
    same_face = np.abs(hits.toward_camera - toward_camera) < 1e-2
    assert same_face[both].mean() > 0.99
    good = both & same_face
    np.testing.assert_allclose(hits.toward_lamp[good], toward_lamp[good], atol=2e-3)


@pytest.mark.parametrize("place", range(20))
def test_a_box_is_hit_where_mujoco_hits_it(place: int):
    rays = rays_from(origins()[place], place)

    hits = hit_box(rays, single(BOX))

    check(hits, rays, *reference(rays, mujoco.mjtGeom.mjGEOM_BOX, BOX))


@pytest.mark.parametrize("place", range(20))
def test_a_cylinder_is_hit_where_mujoco_hits_it(place: int):
    rays = rays_from(origins()[place], place)

    hits = hit_cylinder(rays, RADIUS_M, HALF_LENGTH_M)

    size = np.array([RADIUS_M, HALF_LENGTH_M])
    check(hits, rays, *reference(rays, mujoco.mjtGeom.mjGEOM_CYLINDER, size))


def along(x: float, y: float, z: float) -> Rays:
    one = np.ones((1, 1), np.float32)
    return Rays(
        single([0.0, 0.0, 1.0]), (x * one, y * one, z * one), single(LAMP), single(BACKWARD)
    )


def test_a_ray_along_an_axis_is_met():
    assert hit_box(along(0, 0, -1), single(BOX)).distance[0, 0] == pytest.approx(0.95)
    cylinder = hit_cylinder(along(0, 0, -1), RADIUS_M, HALF_LENGTH_M)
    assert cylinder.distance[0, 0] == pytest.approx(0.8)


def test_what_is_behind_is_not_met():
    assert np.isinf(hit_box(along(0, 0, 1), single(BOX)).distance[0, 0])
    assert np.isinf(hit_cylinder(along(0, 0, 1), RADIUS_M, HALF_LENGTH_M).distance[0, 0])


def test_what_is_beside_is_not_met():
    assert np.isinf(hit_box(along(1, 0, 0), single(BOX)).distance[0, 0])
    assert np.isinf(hit_cylinder(along(1, 0, 0), RADIUS_M, HALF_LENGTH_M).distance[0, 0])
