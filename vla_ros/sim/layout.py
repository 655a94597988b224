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
        object_xy_m: Object name to where it lies.
        object_yaw_rad: Object name to how it is turned.
        object_rgb: Object name to its colour.
        plate_xy_m: Where the plate is.
        lamp_position_m: Where the lamp is.
        lamp: How bright it is.
        start: Commanded interface to where it starts.
        target: The object that a drawn instruction names.
    """

    object_xy_m: dict[str, Vector]
    object_yaw_rad: dict[str, float]
    object_rgb: dict[str, Vector]
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
    plate, objects = _places(scene, rng)
    return Layout(
        object_xy_m=objects,
        object_yaw_rad={name: rng.uniform(-math.pi, math.pi) for name in scene.objects},
        object_rgb={
            name: tuple(
                np.clip(np.array(thing.rgb) + _noise(rng, spec.rgb_noise, 3), 0.0, 1.0).tolist()
            )
            for name, thing in scene.objects.items()
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
        target=str(rng.choice(list(scene.objects))),
    )


def _noise(rng: np.random.Generator, greatest: float, count: int) -> np.ndarray:
    return rng.uniform(-greatest, greatest, count)


def _places(scene: SceneSpec, rng: np.random.Generator) -> tuple[Vector, dict[str, Vector]]:
    """Places of plate and objects, all of them drawn anew until none is too near another."""
    spec = scene.layout
    for _ in range(_ATTEMPTS):
        plate, *places = (_place(spec, rng) for _ in range(1 + len(scene.objects)))
        apart = all(math.dist(plate, place) >= spec.plate_distance_m for place in places) and all(
            math.dist(one, other) >= spec.object_distance_m
            for index, one in enumerate(places)
            for other in places[:index]
        )
        if apart:
            return plate, dict(zip(scene.objects, places, strict=True))
    raise ConfigError(
        f"{scene.source}: layout: {len(scene.objects)} objects and a plate do not fit into the ring"
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
