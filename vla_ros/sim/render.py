# SPDX-License-Identifier: Apache-2.0
"""Two ways to render a camera, and the choice between them. One thread."""

from __future__ import annotations

import functools
import logging
import time
import warnings
from typing import Literal, Protocol

import mujoco
import numpy as np
from numpy.typing import NDArray

from vla_ros.core.errors import ConfigError
from vla_ros.sim.model import GROUND, SHAPES
from vla_ros.sim.raycast import RaycastRenderer

RendererName = Literal["auto", "opengl", "raycast"]
RENDERERS: tuple[RendererName, ...] = ("auto", "opengl", "raycast")

# An image takes some 60 ms with OpenGL in software, 6 ms with ray casting, 2 ms on a graphics card.
_FAST_S = 0.01
_LOG = logging.getLogger(__name__)


class CameraRenderer(Protocol):
    """Renders the cameras of one model."""

    def render(self, data: mujoco.MjData, camera: int) -> NDArray[np.uint8]:
        """(H, W, 3) What a camera sees; ``data`` must be after ``mj_forward``."""


class OpenGlRenderer:
    """Renders the cameras of one model with OpenGL, each in its own size."""

    def __init__(self, model: mujoco.MjModel) -> None:
        """Get an OpenGL context; ``MUJOCO_GL`` says from whom, as MuJoCo documents it.

        Raises:
            ConfigError: There is none to be had.
        """
        self._option = mujoco.MjvOption()
        self._option.geomgroup[:] = 0
        self._option.geomgroup[[SHAPES, GROUND]] = 1
        sizes = {tuple(int(size) for size in size) for size in model.cam_resolution}
        model.vis.global_.offwidth = max(width for width, _ in sizes)
        model.vis.global_.offheight = max(height for _, height in sizes)
        self._model = model
        if complaint := opengl_complaint():
            raise ConfigError(f"no OpenGL context can be had: {complaint}")
        self._renderers = {
            (width, height): mujoco.Renderer(model, height, width) for width, height in sizes
        }

    def render(self, data: mujoco.MjData, camera: int) -> NDArray[np.uint8]:
        """(H, W, 3) What a camera sees; ``data`` must be after ``mj_forward``."""
        width, height = self._model.cam_resolution[camera]
        renderer = self._renderers[int(width), int(height)]
        renderer.update_scene(data, camera, self._option)
        image: NDArray[np.uint8] = renderer.render()
        return image

    def close(self) -> None:
        """Let go of the context; a second call does nothing."""
        for renderer in self._renderers.values():
            renderer.close()


@functools.cache
def opengl_complaint() -> str:
    """Why there is no OpenGL; empty if there is.

    Found out once: MuJoCo's second attempt after one that failed aborts the process.
    """
    nothing = mujoco.MjModel.from_xml_string("<mujoco/>")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mujoco.Renderer(nothing, 8, 8).close()
    # Every platform library complains in its own way, ctypes with AttributeError.
    except (mujoco.FatalError, ImportError, AttributeError, OSError, RuntimeError) as error:
        return str(error)
    return ""


def make_renderer(name: RendererName, model: mujoco.MjModel) -> CameraRenderer:
    """The renderer of a name; ``auto`` takes OpenGL where it can be had and is not software.

    Raises:
        ConfigError: The renderer cannot work here.
    """
    if name == "raycast":
        return RaycastRenderer(model)
    if name == "opengl":
        return OpenGlRenderer(model)
    try:
        renderer = OpenGlRenderer(model)
        taken_s = _time_of_an_image(renderer, model)
    except ConfigError as error:
        _LOG.info("cameras are rendered by ray casting: %s", error)
    else:
        if taken_s < _FAST_S:
            return renderer
        renderer.close()
        _LOG.info("cameras are rendered by ray casting: OpenGL took %.3f s an image", taken_s)
    return RaycastRenderer(model)


def _time_of_an_image(renderer: CameraRenderer, model: mujoco.MjModel) -> float:
    """Real time that the second image of the first camera takes; the first one warms up."""
    if model.ncam == 0:
        return 0.0
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    renderer.render(data, 0)
    begun_s = time.perf_counter()
    renderer.render(data, 0)
    return time.perf_counter() - begun_s
