# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from vla_ros.wire.shown import shown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "NoneType None"),
        (np.zeros((1, 2), np.float32), "array (1, 2) float32"),
        ([1, "a"], "list [1, 'a']"),
        ({"a": np.zeros(3)}, "dict {'a': (3,) float64}"),
        (b"x" * 10**6, "bytes b'xxxxxxxxxxxxxxxx'"),
    ],
)
def test_values_are_shown_by_their_type_and_beginning(value: object, text: str):
    assert shown(value) == text


@pytest.mark.parametrize("value", ["x" * 10**6, [["y" * 99] * 99] * 99, 10**3000])
def test_nothing_is_shown_at_length(value: object):
    assert len(shown(value)) < 130
