# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from test.support.pictures import picture, pixels
from vla_ros.core.errors import DeviceError
from vla_ros.drivers.jpeg import cut_jpeg, join_jpegs, jpeg_size, whole_jpeg


def test_whole_jpeg_takes_any_shape():
    data = np.frombuffer(picture(90) + b"\0", dtype=np.uint8)

    for shaped in (data, data[np.newaxis], data[:, np.newaxis]):
        found = whole_jpeg(shaped)
        assert found is not None
        assert found.tobytes() == picture(90)
    assert whole_jpeg(data[:0]) is None


@pytest.mark.parametrize("option", [cv2.IMWRITE_JPEG_PROGRESSIVE, cv2.IMWRITE_JPEG_OPTIMIZE])
def test_the_size_is_read_from_the_header(option: int):
    image = np.zeros((30, 50, 3), np.uint8)
    data = bytes(cv2.imencode(".jpg", image, [option, 1])[1].data)

    assert jpeg_size(data) == (30, 50)


def test_the_size_is_found_behind_a_comment():
    data = picture(1, height=16, width=24)
    comment = b"\xff\xfe\x00\x06talk"

    assert jpeg_size(data[:2] + comment + data[2:]) == (16, 24)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "begins with nothing"),
        (b"\x89PNG rest", "begins with 89 50 4e 47"),
        (picture(5)[:-30], "cut off after"),
        (b"\xff\xd8\xff\xe0\x00\x04ab\xff\xd9", "does not say how large"),
        (b"\xff\xd8\xff\xda\x00\x08aaaaaa\x12\x13\xff\xd9", "does not say how large"),
    ],
)
def test_what_is_no_whole_jpeg_file_is_refused(data: bytes, words: str):
    with pytest.raises(DeviceError, match=words):
        jpeg_size(data)


@given(st.binary(max_size=300))
def test_any_bytes_have_a_size_or_are_refused(data: bytes):
    try:
        height, width = jpeg_size(b"\xff\xd8\xff" + data)
    except DeviceError:
        return
    assert 0 <= height < 65536
    assert 0 <= width < 65536


def test_images_are_joined_and_cut_apart_again():
    wide = join_jpegs([picture(10, width=32), picture(200, width=64)], quality=95)
    assert jpeg_size(wide) == (48, 96)

    first, second = cut_jpeg(wide, [(0, 32), (32, 96)], quality=95)

    assert pixels(first) == pytest.approx(np.full((48, 32, 3), 10), abs=3)
    assert pixels(second) == pytest.approx(np.full((48, 64, 3), 200), abs=3)


def test_images_of_different_height_are_not_joined():
    with pytest.raises(DeviceError, match=r"\[16, 48\] px height"):
        join_jpegs([picture(1), picture(1, height=16)], quality=90)


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xffgarbage\xff\xd9"])
def test_what_cannot_be_decoded_is_not_cut(data: bytes):
    with pytest.raises(DeviceError, match=f"cannot be read|can be read \\({len(data)} bytes"):
        cut_jpeg(data, [(0, 1)], quality=90)
