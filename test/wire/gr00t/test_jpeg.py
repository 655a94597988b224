# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from test.support.fuzz import fuzz
from vla_ros.core.errors import WireFormatError
from vla_ros.wire.gr00t import jpeg
from vla_ros.wire.gr00t.codec import pack, pack_parts, unpack
from vla_ros.wire.gr00t.jpeg import JpegQuality, decode_images, encode_images
from vla_ros.wire.gr00t.wires import Gr00tWire

MARK = "__jpeg__"
LIMIT = 1 << 20


def slope(*shape: int) -> np.ndarray:
    """(..., H, W, 3) Colours that change slowly; each image with its own blue."""
    height, width = shape[-3:-1]
    images = np.zeros(shape, np.uint8)
    images[..., 0] = np.linspace(0, 255, width).astype(np.uint8)
    images[..., 1] = np.linspace(255, 0, height).astype(np.uint8)[:, None]
    for index, image in enumerate(images.reshape(-1, height, width, 3)):
        image[..., 2] = 50 * index
    return images


def file(shape: tuple[int, ...] = (16, 24, 3), *options: int, name: str = ".jpg") -> np.ndarray:
    return cv2.imencode(name, np.zeros(shape, np.uint8), list(options))[1]


def sent(tree: Any) -> Any:
    return unpack(pack(tree, Gr00tWire.B)).value


def decode(value: Any, limit: int = LIMIT) -> Any:
    return decode_images({"front": value}, max_bytes=limit)["front"]


def off(ours: np.ndarray, theirs: np.ndarray) -> float:
    """How far images are from each other, as the mean of all colours."""
    return float(np.abs(ours.astype(int) - theirs.astype(int)).mean())


@pytest.mark.parametrize("shape", [(16, 24, 3), (1, 1, 48, 64, 3), (1, 2, 47, 65, 3)])
@pytest.mark.parametrize("full_color", [False, True])
def test_images_come_back_nearly_as_they_were(shape: tuple[int, ...], full_color: bool):
    video = {"front": slope(*shape), "wrist": 255 - slope(*shape)}

    encoded = encode_images(video, JpegQuality(full_color=full_color))
    decoded = decode_images(sent(encoded), max_bytes=LIMIT)

    assert list(decoded) == ["front", "wrist"]
    for key, images in video.items():
        assert decoded[key].dtype == np.uint8
        assert decoded[key].shape == shape
        assert off(decoded[key], images) < 3
        assert len(encoded[key][MARK]) == int(np.prod(shape[:-3]))


def test_red_stays_red():
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 255

    images = decode(sent(encode_images({"front": red}, JpegQuality())["front"]))

    assert images[..., 0].min() > 250
    assert images[..., 1:].max() < 5


def test_quality_is_bought_with_bytes():
    noise = {"front": np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)}
    lengths = {
        quality: encode_images(noise, quality)["front"][MARK][0].nbytes
        for quality in (JpegQuality(50), JpegQuality(90), JpegQuality(90, full_color=True))
    }

    assert sorted(lengths.values()) == list(lengths.values())
    assert len(set(lengths.values())) == 3
    worse = decode(encode_images(noise, JpegQuality(90))["front"])
    better = decode(encode_images(noise, JpegQuality(90, full_color=True))["front"])
    assert off(better, noise["front"]) < 0.5 * off(worse, noise["front"])


def test_images_that_nobody_may_write_are_sent_too():
    shown = slope(16, 24, 3)
    shown.flags.writeable = False

    encode_images({"front": shown}, JpegQuality())


def test_files_travel_as_parts_of_their_own():
    noise = {"front": np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)}
    first, rest = pack_parts(encode_images(noise, JpegQuality()))

    assert len(rest) == 1
    assert len(first) < 200
    decoded = decode_images(unpack(first, rest).value, max_bytes=LIMIT)
    assert decoded["front"].shape == (200, 200, 3)


def test_several_threads_may_work_at_it():
    video = {f"camera {index}": slope(1, 2, 32, 32, 3) for index in range(5)}
    with ThreadPoolExecutor(3) as pool:
        encoded = encode_images(video, JpegQuality(), pool.map)
        decoded = decode_images(encoded, max_bytes=LIMIT, each=pool.map)

    for key, images in video.items():
        assert off(decoded[key], images) < 3


def test_what_is_no_jpeg_stays_as_it_is():
    raw, odd = np.zeros((2, 3, 3), np.uint8), {"shape": [1]}

    decoded = decode_images({"raw": raw, "odd": odd, "text": "x"}, max_bytes=0)

    assert decoded["raw"] is raw
    assert decoded["odd"] is odd
    assert decoded["text"] == "x"


def test_an_image_too_large_for_a_jpeg_file_is_not_sent():
    with pytest.raises(WireFormatError, match=r"image \(70000, 1, 3\) cannot be a JPEG file"):
        encode_images({"front": np.zeros((70000, 1, 3), np.uint8)}, JpegQuality())


WHOLE = file()
FORM = r"'front': must be whole baseline JPEG files; found"


def claims(files: Any, *shape: Any) -> dict[str, Any]:
    return {MARK: files, "shape": list(shape)}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({MARK: [WHOLE]}, r"'front': shape must be \[..., H, W, 3\], .*found NoneType"),
        (claims([WHOLE], 16, 24), r"shape must be \[..., H, W, 3\]"),
        (claims([WHOLE], 16, 24, 4), r"shape must be \[..., H, W, 3\]"),
        (claims([WHOLE], 16, 24.0, 3), r"shape must be \[..., H, W, 3\]"),
        (claims([WHOLE], 0, 24, 3), r"shape must be .* integers of 1 or more"),
        (claims([WHOLE], *[1] * 6, 16, 24, 3), r"shape must be \[..., H, W, 3\]"),
        (claims([], 16, 24, 3), r"must be a list of 1 files for shape \(16, 24, 3\); found list"),
        (claims([WHOLE], 2, 16, 24, 3), "must be a list of 2 files"),
        (claims(WHOLE, 16, 24, 3), "must be a list of 1 files .*found array"),
        (claims(["x"], 16, 24, 3), r"must be an array \(N,\) uint8; found str"),
        (claims([WHOLE[None]], 16, 24, 3), r"must be an array \(N,\) uint8; found array"),
        (claims([WHOLE.astype(float)], 16, 24, 3), r"must be an array \(N,\) uint8; found array"),
        (claims([WHOLE[:0]], 16, 24, 3), f"{FORM} 0 bytes"),
        (claims([WHOLE[:-1]], 16, 24, 3), f"{FORM} .* begin with 'ff d8 ff e0'"),
        (claims([file(name=".png")], 16, 24, 3), f"{FORM} .* begin with '89 50 4e 47'"),
        (claims([file((16, 24, 3), cv2.IMWRITE_JPEG_PROGRESSIVE, 1)], 16, 24, 3), "progressive"),
        (claims([file((16, 24))], 16, 24, 3), "not in 8-bit colour"),
        (claims([WHOLE], 24, 16, 3), r"one of 16 x 24 px for shape \(24, 16, 3\)"),
        (claims([WHOLE], 1, 16, 25, 3), "one of 16 x 24 px"),
        # Tables that are none: the decoder gives it up.
        (
            claims(
                [np.concatenate([WHOLE[: bytes(WHOLE).index(b"\xff\xda")], WHOLE[-2:]])], 16, 24, 3
            ),
            f"{FORM} .* bytes that are no image",
        ),
    ],
)
def test_what_is_broken_is_refused_and_named(value: Any, text: str):
    with pytest.raises(WireFormatError, match=text):
        decode(value)


def large_claim(height: int, width: int) -> np.ndarray:
    """A small file that claims to be a large image."""
    data = bytes(WHOLE)
    at = data.index(b"\xff\xc0") + 5
    claimed = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return np.frombuffer(data[:at] + claimed + data[at + 4 :], np.uint8)


def test_a_file_that_claims_to_be_huge_is_refused_before_it_is_decoded(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(cv2, "imdecode", None)
    bomb = large_claim(65500, 65500)

    with pytest.raises(WireFormatError, match="would take more than the 1048576 bytes"):
        decode(claims([bomb], 65500, 65500, 3))
    with pytest.raises(WireFormatError, match="one of 65500 x 65500 px"):
        decode(claims([bomb], 16, 24, 3))
    with pytest.raises(WireFormatError, match="would take more than"):
        decode(claims([bomb], 2**62, 2**62, 3))


def test_the_limit_is_that_of_all_images_together():
    two = {key: claims([WHOLE], 16, 24, 3) for key in ("front", "wrist")}
    size = 16 * 24 * 3

    assert len(decode_images(two, max_bytes=2 * size)) == 2
    with pytest.raises(WireFormatError, match="'wrist': the decoded images would take more"):
        decode_images(two, max_bytes=2 * size - 1)


def test_a_decoder_that_fails_is_told(monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object) -> None:
        raise cv2.error("out of memory")

    monkeypatch.setattr(jpeg.cv2, "imdecode", fail)
    with pytest.raises(WireFormatError, match=r"'front': .* found .* bytes: out of memory"):
        decode(claims([WHOLE], 16, 24, 3))
    monkeypatch.setattr(jpeg.cv2, "imencode", fail)
    with pytest.raises(WireFormatError, match="cannot be a JPEG file: out of memory"):
        encode_images({"front": slope(16, 24, 3)}, JpegQuality())


@settings(max_examples=200)
@given(st.data())
def test_changed_files_raise_nothing_else(data: st.DataObject):
    changed = WHOLE.copy()
    for _ in range(data.draw(st.integers(1, 6))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(WireFormatError):
        assert decode(claims([changed], 16, 24, 3)).shape == (16, 24, 3)


SEEDS = [
    pack(encode_images({"front": slope(*shape), "wrist": slope(*shape)}, quality), Gr00tWire.B)
    for shape in ((8, 8, 3), (1, 2, 9, 17, 3))
    for quality in (JpegQuality(), JpegQuality(30, full_color=True))
]


def read(data: bytes) -> Any:
    tree = unpack(data).value
    if not isinstance(tree, dict):
        raise WireFormatError("no map")
    return decode_images(tree, max_bytes=LIMIT)


def test_mutated_messages_are_refused_or_plain():
    assert fuzz(read, SEEDS, 2000, seed=9) > 20


@pytest.mark.slow
def test_a_hundred_thousand_mutated_messages_are_refused_or_plain():
    assert fuzz(read, SEEDS, 100_000, seed=10) > 1000
