# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from test.support.lerobot_samples import IMAGE, golden, observation
from vla_ros.core.errors import WireFormatError
from vla_ros.wire.lerobot.observation import (
    TimedObservation,
    decode_observation,
    encode_observation,
)
from vla_ros.wire.pickle.writer import Global, Instance, write_pickle

TIMED = Global("lerobot.async_inference.helpers", "TimedObservation")
FIELDS = {"timestamp": 1.0, "timestep": 3, "observation": {}, "must_go": True}


def check(ours: TimedObservation, theirs: TimedObservation) -> None:
    assert (ours.timestamp, ours.timestep, ours.must_go) == (
        theirs.timestamp,
        theirs.timestep,
        theirs.must_go,
    )
    assert list(ours.values) == list(theirs.values)
    for key, value in ours.values.items():
        assert type(value) is type(theirs.values[key])
        np.testing.assert_array_equal(value, theirs.values[key], strict=True)


@pytest.mark.parametrize("name", ["observation_4", "observation_5", "ours_observation"])
def test_golden_observations_are_read(name: str):
    check(decode_observation(golden(name)), observation())


@pytest.mark.parametrize("name", ["odd_observation", "observation_numpy1"])
@pytest.mark.parametrize("protocol", [4, 5])
def test_numbers_and_layouts_of_every_kind_are_read(name: str, protocol: int):
    odd = TimedObservation(
        1.5,
        0,
        {
            "elbow.pos": -1.25,
            "gripper.pos": 3.0,
            "closed": 1.0,
            "steps": 2.0**40,
            "front": IMAGE,
            "top": IMAGE[:, ::-1],
            "wide": IMAGE.astype(np.uint16),
        },
        must_go=False,
    )

    check(decode_observation(golden(f"{name}_{protocol}")), odd)


def test_what_lerobot_was_seen_to_read_is_written():
    assert encode_observation(observation()) == golden("ours_observation")


def test_numbers_of_numpy_are_sent_as_plain_ones():
    theirs = observation()
    ours = TimedObservation(
        np.float64(theirs.timestamp),
        np.int64(theirs.timestep),
        {**theirs.values, "elbow.pos": np.float64(-1.25)},
        must_go=True,
    )

    assert encode_observation(ours) == encode_observation(theirs)


def test_images_are_seen_in_place():
    seen = decode_observation(encode_observation(observation())).values["front"]

    assert isinstance(seen, np.ndarray)
    assert not seen.flags.writeable
    assert not seen.flags.owndata


images = nps.arrays(np.uint8, st.tuples(st.integers(1, 5), st.integers(1, 5), st.just(3)))


@given(
    st.floats(allow_nan=False),
    st.integers(0, 2**53),
    st.dictionaries(st.text(max_size=9), st.floats(allow_nan=False) | st.text() | images),
    st.booleans(),
)
def test_round_trip(timestamp: float, timestep: int, values: dict[str, Any], must_go: bool):
    given = TimedObservation(timestamp, timestep, values, must_go)

    check(decode_observation(encode_observation(given)), given)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "a TimedObservation must have a timestamp"),
        (FIELDS | {"timestep": -1}, "a TimedObservation must have a timestamp"),
        (FIELDS | {"observation": []}, r"must have an observation \(dict\) and must_go \(bool\)"),
        (FIELDS | {"must_go": 1}, "must have an observation"),
        (FIELDS | {"observation": {"a": None}}, "observation 'a' must be a number, a text or an"),
        (FIELDS | {"observation": {"a": [1.0]}}, "observation 'a' must be .* found list"),
        (FIELDS | {"observation": {"a": 2**2000}}, "observation 'a' is too large"),
    ],
)
def test_other_observations_are_refused(fields: dict[str, Any], text: str):
    with pytest.raises(WireFormatError, match=text):
        decode_observation(write_pickle(Instance(TIMED, fields)))


def test_what_cannot_be_read_is_not_sent():
    with pytest.raises(WireFormatError, match="cannot be sent"):
        encode_observation(TimedObservation(1.0, 0, {"a": {1, 2}}, must_go=True))
    with pytest.raises(WireFormatError, match=r"dtype .* is refused"):
        encode_observation(TimedObservation(1.0, 0, {"a": np.array([{}])}, must_go=True))


def test_tensors_and_long_ones_are_refused():
    with pytest.raises(WireFormatError, match="'TimedAction' is named, which is refused"):
        decode_observation(golden("actions_4"))
    with pytest.raises(WireFormatError, match="at most 9 are allowed"):
        decode_observation(golden("observation_4"), max_bytes=9)
