# SPDX-License-Identifier: Apache-2.0
"""Which part of an image that comes in belongs to which camera of the robot. Pure; any thread.

A source gives one image, and a camera takes all of it, or the left or the right half where two eyes
stand side by side in it. Several sources may themselves come side by side in one image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from vla_ros.core.errors import DeviceError
from vla_ros.drivers.jpeg import cut_jpeg, jpeg_size

Half = Literal["whole", "left", "right"]
_EYES = 2


@dataclass(frozen=True, slots=True)
class Slot:
    """What a camera of the robot takes of a source.

    Attributes:
        camera: The camera.
        source: The image server's name for where its images come from.
        height: Height of the camera's image [px].
        width: Width of the camera's image [px].
        half: Which part of the source's image it is.
    """

    camera: str
    source: str
    height: int
    width: int
    half: Half

    @property
    def source_width(self) -> int:
        """How wide the source's whole image is [px]."""
        return self.width if self.half == "whole" else _EYES * self.width


def take_apart(jpeg: bytes, slots: Sequence[Slot], *, quality: int) -> dict[str, bytes]:
    """The JPEG file of each camera. One that is wanted whole is passed through as it came.

    Args:
        jpeg: What came.
        slots: Whose images are in it; the sources stand from left to right as they first do here.
        quality: With which parts are encoded again, 1 to 100.

    Raises:
        DeviceError: It is no JPEG file, or of another size than the slots make up.
    """
    found = jpeg_size(jpeg)
    expected = (max(slot.height for slot in slots), _total_width(slots))
    if found != expected:
        raise DeviceError(_of_another_size(found, expected, slots))
    if len(slots) == 1 and slots[0].half == "whole":
        return {slots[0].camera: jpeg}
    parts = cut_jpeg(jpeg, _columns(slots), quality=quality)
    return {slot.camera: part for slot, part in zip(slots, parts, strict=True)}


def _source_widths(slots: Sequence[Slot]) -> dict[str, int]:
    return {slot.source: slot.source_width for slot in slots}


def _total_width(slots: Sequence[Slot]) -> int:
    return sum(_source_widths(slots).values())


def _columns(slots: Sequence[Slot]) -> list[tuple[int, int]]:
    """First column, and the one after the last, of each slot [px]."""
    starts, at = {}, 0
    for source, width in _source_widths(slots).items():
        starts[source] = at
        at += width
    firsts = [starts[slot.source] + slot.width * (slot.half == "right") for slot in slots]
    return [(first, first + slot.width) for first, slot in zip(firsts, slots, strict=True)]


def _of_another_size(
    found: tuple[int, int], expected: tuple[int, int], slots: Sequence[Slot]
) -> str:
    names = " beside ".join(dict.fromkeys(slot.source for slot in slots))
    text = (
        f"the image of {names} is {found[0]}x{found[1]} px, while the robot's description makes it"
        f" {expected[0]}x{expected[1]} (height x width)"
    )
    one_eyed = all(slot.half == "whole" for slot in slots)
    if one_eyed and len(slots) == 1 and found == (expected[0], _EYES * expected[1]):
        text += (
            ". It is binocular: choose an eye by 'halves', or set binocular: false at the server;"
            " a simulator's server gives the images of both wrists then, which is never right"
        )
    return text
