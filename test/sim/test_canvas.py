# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from vla_ros.sim.canvas import Canvas
from vla_ros.sim.outlines import View
from vla_ros.sim.shapes import Hits, single

SKY, FLOOR, TABLE, THING = 3, 0, 1, 2
RGB = np.array([[0.2, 0.2, 0.2], [0.0, 0.5, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
# Two metres high, looking straight down; x is right and y is up in the image.
DOWN = View(np.array([0.0, 0.0, 2.0]), np.eye(3), focal_px=10.0, width=40, height=20)
LAMP_M = np.array([0.0, 0.0, 4.0])
TOP = (np.zeros(2), np.array([1.0, 0.5]))


def canvas(view: View = DOWN) -> Canvas:
    made = Canvas(view, LAMP_M, sky=SKY)
    made.draw_plane(-1.0, None, FLOOR)
    made.draw_plane(0.0, TOP, TABLE)
    return made


def light(made: Canvas, **changes: float | np.ndarray) -> np.ndarray:
    dark = {"ambient": 0.0, "headlight": 0.0, "lamp": 0.0, "shadow_height_m": 0.01}
    shadow = np.zeros((made.view.height, made.view.width), np.float32)
    return made.light(**{**dark, "shadow": shadow, **changes})


def patch_of(distance: float, toward: float = 1.0) -> Hits:
    one = np.ones((2, 3), np.float32)
    return Hits(distance * one, toward * one, toward * one)


PATCH = (slice(4, 6), slice(7, 10))


def test_planes_cover_what_they_cover():
    image = canvas().coloured(RGB, np.ones((20, 40), np.float32))

    # The table's top is 2 m x 1 m, two metres away: 10 x 5 pixels.
    green = (image == [0, 128, 0]).all(axis=2)
    assert green.sum() == 10 * 4
    assert green[8:12, 15:25].all()
    assert (image[~green] == 51).all()


def test_above_the_horizon_is_sky():
    level = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
    made = canvas(View(np.array([0.0, 0.0, 2.0]), level, 10.0, 40, 20))

    image = made.coloured(RGB, light(made, ambient=1.0))

    assert (image[:10] == [0, 0, 255]).all()
    assert (image[10:] != [0, 0, 255]).any(axis=2).all()


def test_the_nearer_hides_the_farther():
    made = canvas()
    made.draw(PATCH, patch_of(0.5), THING)
    made.draw(PATCH, patch_of(1.0), FLOOR)

    image = made.coloured(RGB, np.ones((20, 40), np.float32))

    red = (image == [255, 0, 0]).all(axis=2)
    assert red.sum() == 6
    assert red[PATCH].all()


def test_what_a_ray_does_not_meet_is_not_drawn():
    made = canvas()
    before = made.coloured(RGB, light(made, ambient=1.0))

    made.draw(PATCH, patch_of(np.inf), THING)

    np.testing.assert_array_equal(made.coloured(RGB, light(made, ambient=1.0)), before)


def test_a_copy_is_drawn_on_alone():
    made = canvas()
    made.copy().draw(PATCH, patch_of(0.5), THING)

    assert not (made.coloured(RGB, np.ones((20, 40), np.float32)) == [255, 0, 0]).all(axis=2).any()


def test_ambient_light_is_everywhere():
    assert light(canvas(), ambient=0.3) == pytest.approx(0.3)


def test_the_headlight_is_full_where_it_falls_straight():
    made = canvas()
    made.draw(PATCH, patch_of(0.5, toward=-1.0), THING)

    lit = light(made, headlight=0.4)

    assert lit[0, 0] == pytest.approx(0.4)
    assert (lit[PATCH] == 0.0).all()


def test_the_lamp_falls_off_with_the_slant():
    lit = light(canvas(), lamp=0.5)

    # Just below the lamp, and at the table's edge: one metre aside and four below.
    assert lit[9, 19] == pytest.approx(0.5, abs=0.001)
    assert lit[9, 15] == pytest.approx(0.5 * 4.0 / np.hypot(4.0, 0.9), abs=0.002)


def test_a_shadow_takes_the_lamp_from_what_is_low():
    made = canvas()
    made.draw(PATCH, patch_of(0.5), THING)
    shadow = single(np.full((20, 40), 0.75))

    lit = light(made, lamp=0.5, ambient=0.1, shadow=shadow)

    assert lit[9, 19] == pytest.approx(0.1 + 0.25 * 0.5, abs=0.001)
    # The thing is 1.5 m high and in no shadow.
    assert (lit[PATCH] > 0.2).all()


def test_too_much_light_is_white_and_no_more():
    image = canvas().coloured(RGB, np.full((20, 40), 9.0, np.float32))

    assert image.max() == 255
    assert (image[9, 19] == [0, 255, 0]).all()
