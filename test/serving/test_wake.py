# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Iterator

import pytest

from vla_ros.serving.wake import Wake


@pytest.fixture
def wake() -> Iterator[Wake]:
    made = Wake()
    yield made
    made.close()


def readable(wake: Wake) -> bool:
    return bool(select.select([wake], [], [], 0.0)[0])


def test_it_is_readable_from_the_ring_until_it_is_cleared(wake: Wake):
    assert not readable(wake)
    wake.clear()
    wake.ring()
    wake.ring()
    assert readable(wake)
    wake.clear()
    assert not readable(wake)


def test_what_is_written_rings(wake: Wake):
    os.write(wake.ring_fd, b"\x0f")
    assert readable(wake)


def test_waiting_ends_with_the_ring_or_the_time(wake: Wake):
    started_s = time.monotonic()
    wake.wait(0.05)
    assert 0.05 <= time.monotonic() - started_s < 1.0
    ringing = threading.Timer(0.05, wake.ring)
    ringing.start()
    wake.wait(10.0)
    assert time.monotonic() - started_s < 5.0
    ringing.join()
    assert not readable(wake)


def test_ringing_never_blocks_and_never_fails():
    wake = Wake()
    for _ in range(100_000):
        wake.ring()
    wake.close()
    wake.ring()
    wake.close()
