# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from vla_ros.core.errors import WireFormatError
from vla_ros.wire.limits import DEFAULT_MAX_BYTES, check_length


def test_what_is_longer_than_allowed_is_refused():
    check_length("reply", bytes(5), 5)
    with pytest.raises(WireFormatError, match="reply has 6 bytes; at most 5 are allowed"):
        check_length("reply", memoryview(bytes(6)), 5)


def test_all_parts_count():
    check_length("reply", bytes(2), 5, rest=[bytes(2), memoryview(bytes(1))])
    with pytest.raises(WireFormatError, match="reply has 6 bytes; at most 5 are allowed"):
        check_length("reply", bytes(2), 5, rest=[bytes(2), memoryview(bytes(2))])


def test_three_raw_images_are_within_the_default():
    check_length("observation", bytes(3 * 1080 * 1920 * 3), DEFAULT_MAX_BYTES)
