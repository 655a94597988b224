# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from test.core.refusals import refused
from vla_ros.core.errors import ConfigError
from vla_ros.core.past_frames import (
    NOW,
    PastFrame,
    camera_of,
    frame_name,
    frame_names,
    past_frames,
    read_delta_indices,
)
from vla_ros.core.section import Section


def read(**entry: object) -> tuple[int, ...]:
    section = Section(entry, source="policy.yaml", path="video.front")
    deltas = read_delta_indices(section)
    section.finish()
    return deltas


def test_a_policy_looks_at_now_where_nothing_is_said():
    assert read() == NOW == (0,)


def test_moments_are_read():
    assert read(delta_indices=[-20, 0]) == (-20, 0)
    assert read(delta_indices=[0]) == NOW


@pytest.mark.parametrize(
    ("deltas", "words"),
    [
        ([0, -20], "must rise and end with 0 (now), found [0, -20]"),
        ([-20, -10], "must rise and end with 0"),
        ([-20, -20, 0], "must rise and end with 0"),
        ([-20, 1], "must hold integers in [-10000, 0], found int 1"),
        ([], "must be a non-empty list of integers"),
        ("-20", "must be a non-empty list of integers, found str '-20'"),
        ([-1.5, 0], "must hold integers in [-10000, 0], found float -1.5"),
    ],
)
def test_moments_that_make_no_sense_are_refused(deltas: object, words: str):
    with refused(ConfigError, "policy.yaml: video.front.delta_indices: ", words):
        read(delta_indices=deltas)


def test_past_frames_are_those_before_now():
    assert past_frames(["a", "b"], (-3, -1, 0), 100) == {
        "a@-3": PastFrame("a", 300),
        "a@-1": PastFrame("a", 100),
        "b@-3": PastFrame("b", 300),
        "b@-1": PastFrame("b", 100),
    }
    assert past_frames(["a", "b"], NOW, 100) == {}


@given(st.text(st.characters(codec="ascii", exclude_characters="@")), st.integers(-9999, 0))
def test_a_frame_tells_its_camera(camera: str, delta: int):
    assert camera_of(frame_name(camera, delta)) == camera
    assert frame_names(camera, (delta,)) == (frame_name(camera, delta),)
