# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from test.core.refusals import refused
from test.support.simulated import table
from vla_ros.core.errors import ConfigError
from vla_ros.sim.layout import make_layout

seeds = st.integers(0, 2**40)


@given(seeds)
def test_a_seed_always_makes_the_same_layout(seed: int):
    assert make_layout(table(), seed) == make_layout(table(), seed)


def test_seeds_differ():
    layouts = [make_layout(table(), seed) for seed in range(30)]

    assert len({layout.plate_xy_m for layout in layouts}) == 30
    assert {layout.target for layout in layouts} == set(table().objects)


@given(seeds)
def test_things_lie_within_reach_and_apart(seed: int):
    spec, layout = table().layout, make_layout(table(), seed)
    cubes = list(layout.object_xy_m.values())

    for x, y in (*cubes, layout.plate_xy_m):
        dx, dy = x - spec.center_m[0], y - spec.center_m[1]
        assert spec.radius_m[0] <= math.hypot(dx, dy) <= spec.radius_m[1]
        assert spec.azimuth_rad[0] <= math.atan2(dy, dx) <= spec.azimuth_rad[1]
    assert all(math.dist(a, b) >= spec.object_distance_m for a, b in combinations(cubes, 2))
    assert all(math.dist(cube, layout.plate_xy_m) >= spec.plate_distance_m for cube in cubes)


@given(seeds)
def test_what_varies_varies_within_bounds(seed: int):
    scene, layout = table(), make_layout(table(), seed)
    spec = scene.layout

    for name, cube in scene.objects.items():
        for part, noisy in zip(cube.rgb, layout.object_rgb[name], strict=True):
            assert 0.0 <= noisy <= 1.0
            assert abs(noisy - part) <= spec.rgb_noise + 1e-9
    for name, value in scene.start.items():
        assert abs(layout.start[name] - value) <= spec.start_noise_rad
    assert abs(layout.lamp / scene.light.lamp - 1.0) <= spec.lamp_noise


def test_a_negative_seed_is_refused():
    with refused(ConfigError, "seed", "-1"):
        make_layout(table(), -1)


def test_things_that_do_not_fit_are_refused():
    crowded = replace(table(), layout=replace(table().layout, object_distance_m=1.0))

    with refused(ConfigError, "so101_table.yaml", "layout", "do not fit"):
        make_layout(crowded, 0)
