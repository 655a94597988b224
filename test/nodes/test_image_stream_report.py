# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from vla_ros.drivers.image_slots import Slot
from vla_ros.drivers.image_stream import ImageStreamState
from vla_ros.drivers.teleimager import ImageSource
from vla_ros.nodes.image_stream_report import Inflow, server_status, source_status
from vla_ros.ros.diagnostics import Level

S = 1_000_000_000
SLOTS = (Slot("thumb", "thumb_camera", 48, 64, "whole"),)


def inflow() -> Inflow:
    return Inflow(SLOTS, still_after_s=0.2, silence_s=2.0)


def test_a_source_is_told_by_what_came_of_it():
    made = inflow()
    assert made.condition(0) == (Level.ERROR, "no image has come yet")

    assert made.takes(b"one", 1 * S)
    assert made.condition(2 * S) == (Level.OK, "gives images")
    assert made.condition(4 * S) == (Level.ERROR, "no image has come for 2 s")

    assert made.takes(b"two", 5 * S)
    assert not made.takes(b"two", 5 * S + 1)
    assert made.takes(b"two", 6 * S + 1000)
    assert made.condition(6 * S + 2000) == (
        Level.WARN,
        "the image is always the same: still, or frozen",
    )
    assert made.figures(7 * S) == {
        "cameras": "thumb",
        "rate_hz": "1.0",
        "age_s": "1.000",
        "same_for_s": "2.0",
        "repeated": "1",
        "refused": "0",
        "interruptions": "1",
    }


def test_a_refused_image_is_news_once_and_an_error_until_a_good_one():
    made = inflow()

    assert made.refuse("too small", 1 * S)
    assert not made.refuse("too small", 1 * S)
    assert made.refuse("too large", 1 * S)
    assert made.condition(1 * S) == (Level.ERROR, "too large")
    assert made.figures(1 * S)["refused"] == "3"
    # Silence says more than what was wrong before it.
    assert made.condition(9 * S) == (Level.ERROR, "no image has come for 2 s")

    made.problem = ""
    assert made.takes(b"good", 10 * S)
    assert made.condition(10 * S) == (Level.OK, "gives images")


def test_a_source_that_the_server_has_not_is_an_error():
    sources = {"head": ImageSource("head", 1, 0, 0, binocular=False, fps=0.0)}
    state = ImageStreamState("teleimager", "", sources)

    status = source_status("thumb_camera", inflow(), state)

    assert (status.level, status.name) == (Level.ERROR, "thumb_camera")
    assert status.message == "the server has no such source; it has head"


def test_the_server_is_told_with_its_traps():
    one = ImageSource("head", 1, 480, 1280, binocular=False, fps=30.0)
    two = ImageSource("chest", 1, 480, 1280, binocular=True, fps=30.0)

    lost = server_status(ImageStreamState())
    fine = server_status(ImageStreamState("teleimager", "", {"head": one}, 3))
    eyes = server_status(ImageStreamState("teleimager", "", {"head": one, "chest": two}))
    legacy = server_status(ImageStreamState("legacy", ""))

    assert (lost.level, lost.message) == (Level.ERROR, "no image server has answered yet")
    assert (fine.level, fine.message) == (Level.OK, "protocol teleimager")
    assert fine.values == {"searches": "3"}
    assert eyes.level == Level.WARN
    assert "; chest is binocular: right for a robot" in eyes.message
    assert "both wrists" in eyes.message
    assert legacy.level == Level.OK
    assert "GR00T's policy server takes port 5555" in legacy.message
