# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from test.support.act_samples import ACTION, IMAGES, QPOS, golden
from test.support.fuzz import fuzz
from vla_ros.core.errors import WireFormatError
from vla_ros.wire.act.request import RESET, ActObservation, decode_request, encode_observation
from vla_ros.wire.pickle.writer import Call, Global, write_pickle

PICKLED_BY = [f"numpy{major}_{protocol}" for major in (1, 2) for protocol in (4, 5)]
SEEDS = [
    golden(f"{name}_{by}") for name in ("reset", "request", "request_double") for by in PICKLED_BY
] + [golden("ours_reset"), golden("ours_request")]


def check(ours: ActObservation | None, qpos: np.ndarray, images: dict[str, np.ndarray]) -> None:
    assert ours is not None
    np.testing.assert_array_equal(ours.qpos, qpos, strict=True)
    assert list(ours.images) == list(images)
    for camera, image in images.items():
        np.testing.assert_array_equal(ours.images[camera], image, strict=True)


def refused(data: Any, text: str) -> None:
    with pytest.raises(WireFormatError, match=text):
        decode_request(data if isinstance(data, bytes) else pickle.dumps(data))


def plain(data: bytes) -> Any:
    observation = decode_request(data)
    return observation and [observation.qpos, observation.images]


@pytest.mark.parametrize("by", PICKLED_BY)
def test_golden_requests_are_read(by: str):
    check(decode_request(golden(f"request_{by}")), QPOS, IMAGES)
    check(decode_request(golden(f"request_double_{by}")), QPOS.astype(np.float64), IMAGES)
    assert decode_request(golden(f"reset_{by}")) is None


def test_what_python_was_seen_to_read_is_written():
    assert encode_observation(ActObservation(QPOS, IMAGES)) == golden("ours_request")
    assert golden("ours_reset") == RESET


def test_python_reads_what_is_written():
    theirs = pickle.loads(encode_observation(ActObservation(QPOS, IMAGES)))

    np.testing.assert_equal(theirs, {"qpos": QPOS, "images": IMAGES})
    assert theirs["qpos"].dtype == np.float32
    assert pickle.loads(RESET) == "RESET"


def test_images_are_seen_in_place():
    seen = decode_request(golden("ours_request"))

    assert seen is not None
    for image in seen.images.values():
        assert not image.flags.writeable
        assert not image.flags.owndata


pictures = nps.arrays(np.uint8, st.tuples(st.integers(1, 5), st.integers(1, 5), st.just(3)))
states = nps.arrays(st.sampled_from([np.float32, np.float64]), st.integers(0, 20))


@given(states, st.dictionaries(st.text(max_size=9), pictures, max_size=3), st.integers(3, 5))
def test_round_trip(qpos: np.ndarray, images: dict[str, np.ndarray], protocol: int):
    check(decode_request(encode_observation(ActObservation(qpos, images))), qpos, images)
    check(decode_request(pickle.dumps({"qpos": qpos, "images": images}, protocol)), qpos, images)


def test_arrays_in_another_order_are_read():
    image = np.asfortranarray(IMAGES["rgb_main"])
    data = {"images": {"rgb_main": image}, "more": [1, 2.5, None, b"x"], "qpos": QPOS[::-1]}

    check(decode_request(pickle.dumps(data)), QPOS[::-1], {"rgb_main": IMAGES["rgb_main"]})


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("reset", r"a request must be 'RESET', or a dict with qpos .* found str 'reset'"),
        ({"qpos": QPOS}, r"a request must be .* found dict"),
        ({"qpos": QPOS, "images": []}, r"a request must be .* found dict"),
        ([QPOS, IMAGES], r"a request must be .* found list"),
        (QPOS, r"a request must be .* found PickledArray"),
        ({"qpos": QPOS.tolist(), "images": {}}, r"qpos must be an array \(D,\) of numbers; found"),
        ({"qpos": QPOS[None], "images": {}}, r"qpos must be .* array \(1, 17\) float32"),
        ({"qpos": QPOS > 0, "images": {}}, r"qpos must be .* array \(17,\) bool"),
        ({"qpos": QPOS, "images": {"a": [1]}}, r"image str 'a' must be an array \(H, W, 3\) uint8"),
        ({"qpos": QPOS, "images": {"a": ACTION}}, r"image str 'a' .* array \(16,\) float32"),
        ({"qpos": QPOS, "images": {"a": np.zeros((2, 3, 3))}}, r"image .* \(2, 3, 3\) float64"),
        ({"qpos": QPOS.astype(complex), "images": {}}, r"dtype .* is refused"),
        ({"qpos": QPOS, "images": {1: IMAGES["rgb_main"]}}, "a dict must have texts as keys"),
    ],
)  # fmt: skip
def test_what_is_no_request_is_refused(data: Any, text: str):
    refused(data, text)


def test_what_a_request_names_is_not_looked_up():
    for named in (print, RuntimeError, np.random.default_rng, ActObservation):
        refused(pickle.dumps({"qpos": named}), "is named, which is refused; allowed: numpy.ndarray")
    refused(write_pickle(Call(Global("os", "system"), ("true",))), "str 'os' str 'system' is named")


def test_a_long_request_is_refused():
    with pytest.raises(WireFormatError, match="at most 99 are allowed"):
        decode_request(golden("ours_request"), max_bytes=99)


def test_arrays_that_cannot_be_sent_are_refused():
    with pytest.raises(WireFormatError, match=r"dtype .* is refused"):
        encode_observation(ActObservation(np.array([{}]), {}))


def test_changed_requests_are_refused_or_plain():
    assert fuzz(plain, SEEDS, 2000, seed=1) > 20


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_many_changed_requests_are_refused_or_plain():
    assert fuzz(plain, SEEDS, 100_000, seed=2) > 1000
