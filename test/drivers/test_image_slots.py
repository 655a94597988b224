# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from test.support.pictures import picture, value_of
from vla_ros.core.errors import DeviceError
from vla_ros.drivers.image_slots import Half, Slot, take_apart
from vla_ros.drivers.jpeg import join_jpegs


def slot(camera: str, source: str = "", half: Half = "whole") -> Slot:
    return Slot(camera, source or f"{camera}_camera", 48, 64, half)


def side_by_side(*values: int) -> bytes:
    return join_jpegs([picture(value) for value in values], quality=95)


def values(jpeg: bytes, *slots: Slot) -> dict[str, int]:
    return {camera: value_of(part) for camera, part in take_apart(jpeg, slots, quality=95).items()}


def test_an_image_that_is_one_camera_is_passed_through():
    jpeg = picture(30)

    assert take_apart(jpeg, [slot("head")], quality=10)["head"] is jpeg


def test_an_eye_is_cut_out():
    jpeg = side_by_side(40, 200)

    assert values(jpeg, slot("head", half="left")) == {"head": pytest.approx(40, abs=3)}
    assert values(jpeg, slot("head", half="right")) == {"head": pytest.approx(200, abs=3)}


def test_two_cameras_are_two_eyes_of_one_source():
    found = values(
        side_by_side(40, 200), slot("a", "head", half="right"), slot("b", "head", half="left")
    )

    assert found == {"a": pytest.approx(200, abs=3), "b": pytest.approx(40, abs=3)}


def test_sources_stand_side_by_side_each_with_its_eyes():
    """As the legacy server of a robot sends them: a head with two eyes, and two wrists."""
    slots = [slot("head", half="right"), slot("left"), slot("right")]

    found = values(side_by_side(10, 60, 120, 250), *slots)

    assert found == {
        "head": pytest.approx(60, abs=3),
        "left": pytest.approx(120, abs=3),
        "right": pytest.approx(250, abs=3),
    }


@pytest.mark.parametrize(
    ("jpeg", "slots", "words"),
    [
        (picture(1, height=24), [slot("head")], "24x64 px.*makes it 48x64"),
        (side_by_side(1, 2), [slot("a"), slot("b"), slot("c")],
         "a_camera beside b_camera beside c_camera is 48x128 px.*48x192"),
        (picture(1), [slot("head", half="left")], "48x64 px.*48x128"),
        (b"nonsense", [slot("head")], "no JPEG"),
        (b"\xff\xd8\xff\xc0\0\x0b\x08\0\x30\0\x80\1\1\1\xff\xd9", [slot("head", half="left")],
         "can be read"),
    ],
)  # fmt: skip
def test_an_image_of_another_size_is_refused_with_both(jpeg: bytes, slots: list[Slot], words: str):
    with pytest.raises(DeviceError, match=words):
        take_apart(jpeg, slots, quality=90)


def test_a_binocular_image_is_refused_with_what_to_do():
    with pytest.raises(DeviceError, match=r"binocular: choose an eye by 'halves'.*wrists"):
        take_apart(side_by_side(1, 2), [slot("head")], quality=90)
    with pytest.raises(DeviceError) as error:
        take_apart(picture(1, height=24), [slot("head")], quality=90)
    assert "binocular" not in str(error.value)
