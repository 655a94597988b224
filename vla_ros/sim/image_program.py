# SPDX-License-Identifier: Apache-2.0
"""The program that renders a world of another process and serves the images as teleimager does.

A program of its own, so that rendering never delays the physics. It builds the same world, lets it
stand as the other one stands at a moment, and renders that with all cameras. It ends with the
program that started it. One thread.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import math
import socket
import sys
import time
from collections.abc import Iterable, Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from vla_ros.core.config_files import config_file
from vla_ros.core.errors import VlaRosError
from vla_ros.core.robot_spec import RobotSpec, load_robot_spec
from vla_ros.drivers.image_server import ImageServer, LegacyImageServer
from vla_ros.drivers.teleimager import CONFIG_PORT, source_name, usual_sources
from vla_ros.sim.image_feed import FeedEnded, ImageFeed, Shown
from vla_ros.sim.render import RENDERERS
from vla_ros.sim.scene_file import load_scene_spec
from vla_ros.sim.world import World

# Upstream's quality.
_QUALITY = 85
# A pattern of noise is moved by up to so many pixels.
_SHIFTS = 64
# The other side's end is noticed after the longer one at the latest.
_NAP_S, _MAX_NAP_S = 0.002, 0.1
# What is told once the images can be had, and what if they cannot.
READY, FAILED = "ready: ", "failed: "


def rate(text: str) -> float:
    """Read a rate [Hz]; argparse shows what it raises."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.1 <= value <= 1000.0:
        raise argparse.ArgumentTypeError(f"must be a number of 0.1 to 1000 Hz, found {text!r}")
    return value


def add_options(made: argparse.ArgumentParser) -> None:
    """What is rendered and served, for this program and for the one that starts it."""
    made.add_argument("--robot", default="g1_inspire", help="in config/robots (%(default)s)")
    made.add_argument("--scene", default="g1_table", help="in config/sim (%(default)s)")
    made.add_argument("--renderer", choices=RENDERERS, default="auto", help="(%(default)s)")
    made.add_argument(
        "--camera-rate",
        type=rate,
        default=12.0,
        help="images per second of each camera [Hz] (%(default)g)",
    )
    made.add_argument(
        "--config-port",
        type=int,
        default=CONFIG_PORT,
        help="where the cameras' configuration is asked for (%(default)d)",
    )
    made.add_argument(
        "--port-offset",
        type=int,
        default=0,
        help="added to all ports of images: another robot on this machine (%(default)d)",
    )
    made.add_argument(
        "--legacy-images",
        action="store_true",
        help="serve images as before December 2025: all in one, side by side",
    )


def arguments(options: argparse.Namespace, feed: ImageFeed) -> list[str]:
    """The command line that runs the program on the other side of a feed."""
    told = [f"--{name}={getattr(options, name)}" for name in ("robot", "scene", "renderer")]
    told += [f"--camera-rate={options.camera_rate}", f"--config-port={options.config_port}"]
    told += [f"--port-offset={options.port_offset}", f"--feed={feed.fileno()}"]
    told += ["--legacy-images"] if options.legacy_images else []
    return [sys.executable, "-m", "vla_ros.sim.image_program", *told]


def _server(options: argparse.Namespace, robot: RobotSpec) -> ImageServer | LegacyImageServer:
    sizes = {name: (camera.height, camera.width) for name, camera in robot.cameras.items()}
    sources = usual_sources(sizes, fps=options.camera_rate)
    if options.legacy_images:
        names = [source.name for source in sources]
        return LegacyImageServer(names, port_offset=options.port_offset, quality=_QUALITY)
    return ImageServer(sources, config_port=options.config_port, port_offset=options.port_offset)


def _where(server: ImageServer | LegacyImageServer) -> str:
    """Where the images are served, in words."""
    if isinstance(server, LegacyImageServer):
        return f"all cameras on port {server.port}"
    ports = ", ".join(f"{source.name} on {source.port}" for source in server.sources)
    return f"{ports}, configuration on {server.config_port}"


class Grain:
    """A little noise, as every camera has: where nothing moves, no two images are the same.

    A client could take what is the same for the old image that is sent again.
    """

    def __init__(self) -> None:
        """Draw it; always the same."""
        self._chance = np.random.default_rng(0)
        self._pattern = np.empty((0, 0, 3), np.uint8)

    def on(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(H, W, 3) The image, brighter or darker by one level here and there."""
        height, width, _ = image.shape
        if self._pattern.shape[:2] != (height + _SHIFTS, width + _SHIFTS):
            size = (height + _SHIFTS, width + _SHIFTS, 3)
            self._pattern = self._chance.integers(0, 3, size, dtype=np.uint8)
        row, column = self._chance.integers(0, _SHIFTS, 2).tolist()
        pattern = self._pattern[row : row + height, column : column + width]
        brighter = np.asarray(cv2.add(image, pattern), np.uint8)
        return np.maximum(brighter, 1) - np.uint8(1)


class Photographer:
    """Renders what is shown."""

    def __init__(self, world: World, cameras: Iterable[str]) -> None:
        """Remember with which cameras."""
        self._world = world
        self._cameras = tuple(cameras)
        self._seed: int | None = None
        self._grain = Grain()

    def take(self, shown: Shown) -> Iterator[tuple[str, bytes]]:
        """Each camera, and its image as a JPEG file."""
        if shown.seed != self._seed:
            self._world.reset(shown.seed)
            self._seed = shown.seed
        for camera in self._cameras:
            yield camera, jpeg(self._grain.on(self._world.render(camera, shown.posture)))


def jpeg(image: NDArray[np.uint8]) -> bytes:
    """A JPEG file of (H, W, 3) RGB."""
    pixels = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return bytes(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].data)


def serve(options: argparse.Namespace, feed: ImageFeed) -> None:
    """Render and serve until the other side ends.

    Raises:
        FeedEnded: It has ended.
        VlaRosError: A description is wrong, or a port is taken.
    """
    robot = load_robot_spec(config_file("robots", options.robot))
    scene = load_scene_spec(config_file("sim", options.scene))
    with contextlib.closing(_server(options, robot)) as server:
        photographer = Photographer(World(robot, scene, renderer=options.renderer), robot.cameras)
        feed.tell(READY + _where(server))
        period_s = 1.0 / options.camera_rate
        due_s, shown = time.monotonic(), None
        while True:
            shown = feed.newest() or shown
            now_s = time.monotonic()
            if shown is not None and now_s >= due_s:
                for camera, file in photographer.take(shown):
                    server.publish(source_name(camera), file)
                due_s = max(due_s + period_s, now_s)
            time.sleep(min(max(due_s - time.monotonic(), _NAP_S), _MAX_NAP_S))


def main(told: Sequence[str] | None = None) -> int:
    """Run the program."""
    made = argparse.ArgumentParser(prog="image_program", description="Renders another's world.")
    add_options(made)
    made.add_argument("--feed", type=int, required=True, help="file descriptor of the feed")
    options = made.parse_args(told)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    cv2.setNumThreads(1)
    feed = ImageFeed(socket.socket(fileno=options.feed))
    try:
        serve(options, feed)
    except FeedEnded:
        return 0
    except VlaRosError as error:
        # Who started this program tells it to people.
        with contextlib.suppress(FeedEnded):
            feed.tell(FAILED + str(error))
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
