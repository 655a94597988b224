# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_ros.core.jpeg_header import JpegHeader, jpeg_header


def file(shape: tuple[int, ...] = (30, 50, 3), *options: int) -> bytes:
    return bytes(cv2.imencode(".jpg", np.zeros(shape, np.uint8), list(options))[1].data)


PLAIN = file()


@pytest.mark.parametrize(
    ("data", "header"),
    [
        (PLAIN, JpegHeader(30, 50, 3, baseline=True)),
        (memoryview(PLAIN), JpegHeader(30, 50, 3, baseline=True)),
        (file((7, 5)), JpegHeader(7, 5, 1, baseline=True)),
        (file((30, 50, 3), cv2.IMWRITE_JPEG_OPTIMIZE, 1), JpegHeader(30, 50, 3, baseline=True)),
        (
            file((30, 50, 3), cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
            JpegHeader(30, 50, 3, baseline=False),
        ),
        (
            PLAIN.replace(b"\xff\xc0\x00\x11\x08", b"\xff\xc0\x00\x11\x0c"),
            JpegHeader(30, 50, 3, baseline=False),
        ),
        (
            PLAIN[:2] + b"\xff\xfe\x00\x06talk" + PLAIN[2:],
            JpegHeader(30, 50, 3, baseline=True),
        ),
        (PLAIN[:2] + b"\xff\xe1\x00\x00" + PLAIN[2:], JpegHeader(30, 50, 3, baseline=True)),
    ],
)
def test_what_a_file_says(data: bytes, header: JpegHeader):
    assert jpeg_header(data) == header


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xd8",
        b"\x89PNG rest of it",
        b"\xff\xd8\xff",
        b"\xff\xd8\xff\xe0\x00\x04ab\xff\xd9 and more bytes",
        b"\xff\xd8\xff\xe0\x00\x04ab, and more bytes",
        # The pixels, before their size.
        b"\xff\xd8\xff\xda" + PLAIN[2:],
        # What a decoder passes over, and might take for something else than is done here.
        PLAIN[:2] + b"\xff" + PLAIN[2:],
        PLAIN[:2] + b"\0" + PLAIN[2:],
        PLAIN[:2] + b"\xff\x01" + PLAIN[2:],
        PLAIN[:2] + b"\xff\xd0" + PLAIN[2:],
        PLAIN[: PLAIN.index(b"\xff\xc0") + 9],
    ],
)
def test_what_says_nothing(data: bytes):
    assert jpeg_header(data) is None


@given(st.binary(max_size=200))
def test_any_bytes_say_something_or_nothing(data: bytes):
    found = jpeg_header(b"\xff\xd8\xff" + data)

    assert found is None or (0 <= found.height < 65536 and 0 <= found.width < 65536)
