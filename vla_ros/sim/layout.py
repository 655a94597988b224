# SPDX-License-Identifier: Apache-2.0
"""What a seed makes of a scene: where things lie, how they look, what is asked.

Pure: the same seed gives the same layout. Metres, radians; any thread may call.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from vla_ros.core.errors import ConfigError
from vla_ros.sim.scene_spec import LayoutSpec, SceneSpec, Vector

_ATTEMPTS = 10_000


@dataclass(frozen=True, slots=True)
class Layout:
    """One made scene.

    Attributes:
        cube_xy_m: Cube name to where it lies.
        cube_yaw_rad: Cube name to how it is turned.
        cube_rgb: Cube name to its colour.
        plate_xy_m: Where the plate is.
        lamp_position_m: Where the lamp is.
        lamp: How bright it is.
        start: Commanded interface to where it starts.
        target: The cube that a drawn instruction names.
    """

    cube_xy_m: dict[str, Vector]
    cube_yaw_rad: dict[str, float]
    cube_rgb: dict[str, Vector]
    plate_xy_m: Vector
    lamp_position_m: Vector
    lamp: float
    start: dict[str, float]
    target: str


def make_layout(scene: SceneSpec, seed: int) -> Layout:
    """The layout of a seed.

    Raises:
        ConfigError: The things do not fit into the scene, or the seed is negative.
    """
    if seed < 0:
        raise ConfigError(f"seed must not be negative, found {seed}")
    rng = np.random.default_rng(seed)
    spec = scene.layout
    plate, cubes = _places(scene, rng)
    return Layout(
        cube_xy_m=cubes,
        cube_yaw_rad={name: rng.uniform(-math.pi, math.pi) for name in scene.cubes},
        cube_rgb={
            name: tuple(
                np.clip(np.array(cube.rgb) + _noise(rng, spec.rgb_noise, 3), 0.0, 1.0).tolist()
            )
            for name, cube in scene.cubes.items()
        },
        plate_xy_m=plate,
        lamp_position_m=tuple(
            (np.array(scene.light.position_m) + _noise(rng, spec.lamp_position_noise_m, 3)).tolist()
        ),
        lamp=scene.light.lamp * (1.0 + float(_noise(rng, spec.lamp_noise, 1)[0])),
        start={
            name: value + float(_noise(rng, spec.start_noise_rad, 1)[0])
            for name, value in scene.start.items()
        },
        target=str(rng.choice(list(scene.cubes))),
    )


def _noise(rng: np.random.Generator, greatest: float, count: int) -> np.ndarray:
    return rng.uniform(-greatest, greatest, count)


def _places(scene: SceneSpec, rng: np.random.Generator) -> tuple[Vector, dict[str, Vector]]:
    """Places of the plate and the cubes, all of them drawn anew until none is too near another."""
    spec = scene.layout
    for _ in range(_ATTEMPTS):
        plate, *cubes = (_place(spec, rng) for _ in range(1 + len(scene.cubes)))
        apart = all(math.dist(plate, cube) >= spec.plate_distance_m for cube in cubes) and all(
            math.dist(one, other) >= spec.cube_distance_m
            for index, one in enumerate(cubes)
            for other in cubes[:index]
        )
        if apart:
            return plate, dict(zip(scene.cubes, cubes, strict=True))
    raise ConfigError(
        f"{scene.source}: layout: {len(scene.cubes)} cubes and a plate do not fit into the ring"
        " sector at these distances"
    )


def _place(spec: LayoutSpec, rng: np.random.Generator) -> Vector:
    """A place in the ring sector, every spot as likely as any other."""
    inner, outer = spec.radius_m
    radius = math.sqrt(rng.uniform(inner**2, outer**2))
    start, end = spec.azimuth_rad
    azimuth = rng.uniform(start, end)
    x, y = spec.center_m
    return x + radius * math.cos(azimuth), y + radius * math.sin(azimuth)
