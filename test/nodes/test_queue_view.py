# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from rclpy.publisher import Publisher
from sensor_msgs.msg import Image
from vla_ros_msgs.msg import ChunkTiming, ExecutorState

from test.ros.harness import Domain
from test.support.programs import program
from vla_ros.nodes import queue_plot, queue_view
from vla_ros.nodes.queue_view import QueueView
from vla_ros.ros.qos import EVENT, LATCHED, SENSOR
from vla_ros.ros.stamps import time_from_ns

TOPIC = "executor/queue_image"


class Executor:
    """Says what an executor says."""

    def __init__(self, domain: Domain) -> None:
        self._domain = domain
        self._states = domain.publisher(ExecutorState, "executor/state", LATCHED)
        self._timings: Publisher = domain.publisher(ChunkTiming, "executor/chunk_timing", EVENT)
        self.now_ns = domain.peer.get_clock().now().nanoseconds

    def say(self, age_s: float, **facts: Any) -> None:
        told = {"mode": "move", "remaining_steps": 12.0, "asks_at_steps": 6.0, **facts}
        message = ExecutorState(**told)
        message.header.stamp = time_from_ns(self.now_ns - round(age_s * 1e9))
        self._states.publish(message)
        # One by one: what is latched has a depth of one.
        self._domain.spin_for(0.01)

    def join(self, age_s: float) -> None:
        stamp = time_from_ns(self.now_ns - round(age_s * 1e9))
        self._timings.publish(ChunkTiming(joined=stamp))
        self._domain.spin_for(0.01)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What was asked to be drawn."""
    asked: list[dict[str, Any]] = []

    def record(samples: Any, chunks_ns: Any, **rest: Any) -> np.ndarray:
        asked.append({"samples": list(samples), "chunks_ns": list(chunks_ns), **rest})
        return queue_plot.draw_queue(samples, chunks_ns, **rest)

    monkeypatch.setattr(queue_view, "draw_queue", record)
    return asked


def pixels(message: Image) -> np.ndarray:
    assert (message.encoding, message.step) == ("rgb8", 3 * message.width)
    return np.frombuffer(message.data, dtype=np.uint8).reshape(message.height, message.width, 3)


def shows(picture: np.ndarray) -> bool:
    """Whether the panel has the queue, the level at which is asked, a hold and starvation."""
    colours = (queue_plot._QUEUE, queue_plot._ASKS, queue_plot._STARVED, queue_plot._HOLD)
    panel = picture[: queue_plot._BOTTOM]
    return all((panel == colour).all(axis=2).any() for colour in colours)


def test_the_picture_shows_what_the_executor_said(domain: Domain, drawn):
    assert domain.add(QueueView, rate_hz=10.0).start()
    executor = Executor(domain)
    executor.say(3.0)
    executor.say(2.5, mode="hold", hold_reason="stale_camera", starved_ticks=4)
    executor.say(2.0, mode="stopped", starved_ticks=4, ticks=100, chunks_received=7)
    executor.join(2.2)
    assert not drawn, "it was drawn although nobody looks"

    images = domain.collect(Image, TOPIC, SENSOR)
    domain.spin_until(lambda: images, "a picture")

    picture = pixels(images[-1])
    assert picture.shape == (queue_plot.HEIGHT_PX, queue_plot.WIDTH_PX, 3)
    assert (picture == queue_plot._HOLD).all(axis=2).any()
    said = drawn[-1]["samples"]
    assert [sample.hold for sample in said] == ["", "stale_camera", "stopped"]
    assert [sample.starved_ticks for sample in said] == [0, 4, 4]
    assert {(sample.steps, sample.asks_at) for sample in said} == {(12.0, 6.0)}
    ages_s = [(drawn[-1]["now_ns"] - sample.stamp_ns) * 1e-9 for sample in said]
    assert np.diff(ages_s) == pytest.approx([-0.5, -0.5])
    [joined_ns] = drawn[-1]["chunks_ns"]
    assert joined_ns == executor.now_ns - 2_200_000_000
    assert drawn[-1]["words"].startswith("7 chunks   0 dropped   0 requests failed   starved 4 of")


def test_pictures_come_twice_a_second(domain: Domain):
    assert domain.add(QueueView).start()
    images = domain.collect(Image, TOPIC, SENSOR)
    domain.spin_until(lambda: images, "a picture")
    images.clear()

    domain.spin_for(1.7)

    assert len(images) in (2, 3, 4)


def test_latencies_are_told_once_they_are_known(domain: Domain, drawn):
    assert domain.add(QueueView, rate_hz=20.0).start()
    executor = Executor(domain)
    domain.collect(Image, TOPIC, SENSOR)
    known = {"request_to_chunk_ms_p50": 210.4, "request_to_chunk_ms_p95": 333.0}

    executor.say(1.0, **dict.fromkeys(known, float("nan")))
    domain.spin_until(lambda: drawn and drawn[-1]["samples"], "a picture")
    assert "request to chunk" not in drawn[-1]["words"]
    executor.say(0.9, **known)
    domain.spin_until(lambda: len(drawn[-1]["samples"]) == 2, "a picture of it")
    assert drawn[-1]["words"].endswith("request to chunk p50 210 ms, p95 333 ms")


def test_what_is_older_than_the_window_is_forgotten(domain: Domain, drawn):
    assert domain.add(QueueView, rate_hz=20.0).start()
    executor = Executor(domain)
    domain.collect(Image, TOPIC, SENSOR)
    for age_s in (28.0, 10.0, 0.0):
        executor.join(age_s)
        executor.say(age_s)
    domain.spin_until(lambda: drawn and len(drawn[-1]["samples"]) == 3, "three of them")

    assert domain.set_parameter("queue_view", "window_s", 5).successful
    executor.say(-0.1)
    domain.spin_until(lambda: len(drawn[-1]["samples"]) == 2, "two of them")
    assert drawn[-1]["chunks_ns"] == [executor.now_ns]
    assert drawn[-1]["window_s"] == 5.0


def test_a_clock_that_goes_back_begins_a_new_picture(domain: Domain, drawn):
    assert domain.add(QueueView, rate_hz=20.0).start()
    executor = Executor(domain)
    domain.collect(Image, TOPIC, SENSOR)
    executor.say(1.0)
    executor.join(1.0)

    executor.say(20.0, remaining_steps=3.0)

    def begun_anew() -> bool:
        return bool(drawn) and [sample.steps for sample in drawn[-1]["samples"]] == [3.0]

    domain.spin_until(begun_anew, "a new picture")
    assert drawn[-1]["chunks_ns"] == []


def test_the_last_picture_is_kept_when_the_process_ends(domain: Domain, tmp_path: Path):
    output = tmp_path / "queue.png"
    command = ["-m", "vla_ros.nodes.queue_view", "--ros-args", "-p", f"output:={output}"]
    with program(command, ROS_DOMAIN_ID=str(domain.id)) as process:
        executor = Executor(domain)
        images = domain.collect(Image, TOPIC, SENSOR)
        domain.spin_until(lambda: images, "a picture", timeout_s=20.0)
        executor.say(1.5)
        executor.say(1.0, mode="hold", hold_reason="starved", starved_ticks=20)
        executor.say(0.5, mode="hold", hold_reason="starved", starved_ticks=40)
        domain.spin_until(lambda: images and shows(pixels(images[-1])), "a picture of it")
        process.process.send_signal(signal.SIGTERM)
        assert process.process.wait(10.0) == 0, process.written

    picture = cv2.imread(str(output))[:, :, ::-1]
    assert picture.shape == (queue_plot.HEIGHT_PX, queue_plot.WIDTH_PX, 3)
    assert shows(picture)


def test_a_picture_that_cannot_be_kept_does_not_keep_the_node_from_ending(
    domain: Domain, tmp_path: Path, capfd: pytest.CaptureFixture
):
    output = tmp_path / "queue.png"
    node = domain.add(QueueView, output=str(output))
    assert node.start()
    output.mkdir()

    node.trigger_deactivate()

    assert "the picture was not kept: " in capfd.readouterr().err
    assert node._state_machine.current_state[1] == "inactive"


@pytest.mark.parametrize("output", ["queue.jpg", "no/such/folder/queue.png"])
def test_an_output_that_cannot_be_is_refused(
    domain: Domain, capfd: pytest.CaptureFixture, output: str
):
    assert not domain.add(QueueView, output=output).start()
    assert "'output' must be a .png file in a folder that exists" in capfd.readouterr().err
