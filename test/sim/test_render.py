# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Iterator

import mujoco
import numpy as np
import pytest

import vla_ros.sim.render as render_module
from test.core.refusals import refused
from test.support.simulated import so101, table, world
from vla_ros.core.errors import ConfigError
from vla_ros.sim.raycast import RaycastRenderer
from vla_ros.sim.render import OpenGlRenderer, make_renderer, opengl_complaint
from vla_ros.sim.world import World

MODEL = mujoco.MjModel.from_xml_string(
    "<mujoco><worldbody><camera resolution='32 24'/></worldbody></mujoco>"
)


@pytest.fixture
def asked_anew() -> Iterator[None]:
    """OpenGL is looked for again, and what is found is not kept for other tests."""
    opengl_complaint.cache_clear()
    yield
    opengl_complaint.cache_clear()


@pytest.fixture
def opengl_world() -> World:
    try:
        return World(so101(), table(), renderer="opengl")
    except ConfigError as error:
        pytest.skip(str(error))


def test_both_renderers_show_the_same(opengl_world: World):
    for seed in (3, 7):
        world().reset(seed)
        opengl_world.reset(seed)
        for camera in so101().cameras:
            ours, theirs = world().render(camera), opengl_world.render(camera)
            difference = np.abs(ours.astype(float) - theirs.astype(float))
            # They differ in shadows, of which ours fall on the table alone, and in the distance.
            assert np.median(difference) <= 2.0
            assert difference.mean() < 8.0


@pytest.mark.usefixtures("asked_anew")
@pytest.mark.parametrize("error", [mujoco.FatalError, ImportError, AttributeError, RuntimeError])
def test_without_opengl_it_is_said_why(monkeypatch: pytest.MonkeyPatch, error: type[Exception]):
    def refuse(*_: object) -> None:
        raise error("no display")

    monkeypatch.setattr(mujoco, "Renderer", refuse)

    with refused(ConfigError, "OpenGL", "no display"):
        make_renderer("opengl", world()._model)


@pytest.mark.usefixtures("asked_anew")
def test_a_second_world_does_not_look_for_opengl_again(monkeypatch: pytest.MonkeyPatch):
    asked = []

    def refuse(*_: object) -> None:
        asked.append(1)
        raise mujoco.FatalError("no display")

    monkeypatch.setattr(mujoco, "Renderer", refuse)
    for _ in range(3):
        assert isinstance(make_renderer("auto", world()._model), RaycastRenderer)
    assert len(asked) == 1


@pytest.mark.usefixtures("asked_anew")
def test_rays_are_cast_where_there_is_no_opengl(monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise mujoco.FatalError("no display")

    monkeypatch.setattr(mujoco, "Renderer", refuse)

    assert isinstance(make_renderer("auto", world()._model), RaycastRenderer)


class FakeRenderer:
    """A renderer of MuJoCo's own whose every image takes a while."""

    image = np.zeros((24, 32, 3), np.uint8)
    closed = 0

    def __init__(self, model: mujoco.MjModel, height: int, width: int) -> None:
        assert (height, width) in ((24, 32), (8, 8))  # the second one only looks for OpenGL

    def update_scene(self, data: mujoco.MjData, camera: int, option: mujoco.MjvOption) -> None:
        assert option.geomgroup.tolist() == [0, 1, 1, 0, 0, 0]

    def render(self) -> np.ndarray:
        return self.image

    def close(self) -> None:
        FakeRenderer.closed += 1


@pytest.fixture
def fake_opengl(monkeypatch: pytest.MonkeyPatch, asked_anew: None) -> None:
    monkeypatch.setattr(mujoco, "Renderer", FakeRenderer)
    monkeypatch.setattr(render_module, "RaycastRenderer", lambda _: "rays")


@pytest.mark.usefixtures("fake_opengl")
def test_fast_opengl_is_taken(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(render_module, "_time_of_an_image", lambda *_: 0.001)

    assert isinstance(make_renderer("auto", MODEL), OpenGlRenderer)


@pytest.mark.usefixtures("fake_opengl")
def test_opengl_in_software_is_too_slow(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(render_module, "_time_of_an_image", lambda *_: 0.06)
    assert opengl_complaint() == ""
    before = FakeRenderer.closed

    assert make_renderer("auto", MODEL) == "rays"
    assert FakeRenderer.closed == before + 1


@pytest.mark.usefixtures("fake_opengl")
def test_opengl_is_timed_with_an_image(monkeypatch: pytest.MonkeyPatch):
    clock = iter([0.0, 0.004])
    monkeypatch.setattr(render_module.time, "perf_counter", lambda: next(clock))

    renderer = make_renderer("auto", MODEL)

    assert isinstance(renderer, OpenGlRenderer)
    assert renderer.render(mujoco.MjData(MODEL), 0) is FakeRenderer.image


def test_rays_are_cast_where_they_are_asked_for():
    assert isinstance(make_renderer("raycast", world()._model), RaycastRenderer)
