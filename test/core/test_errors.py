# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re

import pytest

from vla_ros.core import errors


def drawn_tree() -> dict[str, str]:
    """Class name to its base's name, as the module's docstring draws it."""
    bases: dict[str, str] = {}
    branch = ["VlaRosError"]
    for line in (errors.__doc__ or "").splitlines():
        drawn = re.match(r"    ([| `-]*-- )(\w+)", line)
        if drawn:
            depth = len(drawn[1]) // 4
            bases[drawn[2]] = branch[depth - 1]
            branch[depth:] = [drawn[2]]
    return bases


def test_the_docstring_draws_the_tree_that_there_is():
    classes = [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, errors.VlaRosError)
    ]

    tree = {cls.__name__: cls.__base__.__name__ for cls in classes}

    assert tree.pop("VlaRosError") == "Exception"
    assert tree == drawn_tree()
    assert len(tree) == 10


def test_an_observation_error_names_the_stream_and_the_reason():
    error = errors.ObservationError("camera x is late", reason="stale_camera", stream="x")

    assert (str(error), error.reason, error.stream) == ("camera x is late", "stale_camera", "x")


def test_an_observation_error_must_name_both():
    with pytest.raises(TypeError, match="'reason' and 'stream'"):
        errors.ObservationError("camera x is late")  # type: ignore[call-arg]


def test_a_refused_chunk_says_why_in_a_word_and_in_words():
    error = errors.ChunkRefused("late", "the chunk was over")

    assert (str(error), error.kind) == ("the chunk was over", "late")
