# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
import contextlib
import subprocess
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
import zmq

from test.support.image_ports import free_port_offset
from test.support.simulated_g1 import g1, g1_table, g1_world
from vla_ros.sim.image_feed import ImageFeed, Shown, image_feed
from vla_ros.sim.image_program import (
    FAILED,
    READY,
    Grain,
    Photographer,
    add_options,
    arguments,
    jpeg,
    rate,
)
from vla_ros.sim.world import World

PATIENCE_S = 30.0


def decoded(file: bytes) -> np.ndarray:
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(file, np.uint8), 1), cv2.COLOR_BGR2RGB)


@contextlib.contextmanager
def running(*told: str) -> Iterator[tuple[subprocess.Popen[bytes], ImageFeed]]:
    """The program with the G1's table, and our side of its feed."""
    made = argparse.ArgumentParser()
    add_options(made)
    options = made.parse_args(["--renderer", "raycast", *told])
    ours, its = image_feed()
    with contextlib.closing(ours), contextlib.closing(its):
        process = subprocess.Popen(arguments(options, its), pass_fds=[its.fileno()])
        its.close()
        try:
            yield process, ours
        finally:
            process.kill()
            process.wait()


def test_an_image_is_the_worlds():
    g1_world().reset(3)
    camera = next(iter(g1().cameras))
    seen = g1_world().render(camera)

    again = decoded(jpeg(seen))

    assert again.shape == seen.shape
    assert np.abs(again.astype(int) - seen).mean() < 3.0


def test_no_two_images_of_what_stands_still_are_the_same():
    g1_world().reset(3)
    photographer = Photographer(g1_world(), g1().cameras)
    shown = Shown(3, g1_world().posture())

    files = [dict(photographer.take(shown)) for _ in range(8)]

    for camera in g1().cameras:
        assert len({taken[camera] for taken in files}) > 6


def test_grain_is_one_level_at_most_and_on_the_whole_nothing():
    image = np.full((480, 640, 3), 100, np.uint8)
    image[:10], image[-10:] = 0, 255

    grainy = Grain().on(image).astype(int) - image

    assert np.abs(grainy).max() == 1
    assert (grainy[:10] >= 0).all()
    assert (grainy[-10:] <= 0).all()
    assert np.abs(grainy[10:-10].mean()) < 0.01


def test_what_is_shown_is_photographed_in_its_own_world():
    g1_world().reset(3)
    expected = {camera: g1_world().render(camera) for camera in g1().cameras}
    other = World(g1(), g1_table(), renderer="raycast")
    photographer = Photographer(other, g1().cameras)

    taken = dict(photographer.take(Shown(3, g1_world().posture())))

    assert taken.keys() == expected.keys()
    for camera, file in taken.items():
        assert np.abs(decoded(file).astype(int) - expected[camera]).mean() < 3.0, camera
    g1_world().reset(4)
    moved = dict(photographer.take(Shown(4, g1_world().posture())))
    camera = next(iter(taken))
    assert np.abs(decoded(moved[camera]).astype(int) - expected[camera]).mean() > 3.0


def test_the_program_serves_what_it_is_shown_and_ends_with_its_starter():
    offset = free_port_offset()
    g1_world().reset(3)
    with (
        running(f"--port-offset={offset}") as (process, feed),
        zmq.Context() as context,
        context.socket(zmq.SUB) as listening,
    ):
        listening.linger = 0
        listening.subscribe(b"")
        # The cameras' ports go on in the order of the robot's description: the second one.
        listening.connect(f"tcp://127.0.0.1:{55556 + offset}")
        told = feed.told(PATIENCE_S)
        assert told is not None
        assert told.startswith(READY)
        assert f"on {55556 + offset}" in told
        feed.show(Shown(3, g1_world().posture()))
        assert listening.poll(1000 * PATIENCE_S)
        image = decoded(listening.recv())
        feed.close()

        assert process.wait(PATIENCE_S) == 0

    seen = g1_world().render(list(g1().cameras)[1])
    assert np.abs(image.astype(int) - seen).mean() < 3.0


def test_a_port_that_is_taken_is_told():
    offset = free_port_offset()
    with zmq.Context() as context, context.socket(zmq.PUB) as taken:
        taken.bind(f"tcp://*:{55555 + offset}")
        with running(f"--port-offset={offset}") as (process, feed):
            told = feed.told(PATIENCE_S)

            assert told is not None
            assert told.startswith(FAILED)
            assert str(55555 + offset) in told
            assert process.wait(PATIENCE_S) == 2


@pytest.mark.parametrize("text", ["0", "-1", "nan", "often", "1e9"])
def test_a_rate_that_is_none_is_refused(text: str):
    with pytest.raises(argparse.ArgumentTypeError, match="to 1000 Hz"):
        rate(text)
