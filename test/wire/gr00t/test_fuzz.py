# SPDX-License-Identifier: Apache-2.0
"""Whatever GR00T's servers are sent is refused, or read as plain values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from test.support.fuzz import fuzz
from test.support.golden_server import GOLDEN
from test.support.gr00t_samples import observation, policy
from vla_ros.core.policy_io import policy_input
from vla_ros.wire.gr00t import http
from vla_ros.wire.gr00t.message import decode_request
from vla_ros.wire.gr00t.observation import encode_observation


def request(data: bytes) -> Any:
    read = decode_request(data)
    return [read.endpoint, read.api_token, read.data]


def json_body(body: bytes) -> Any:
    read = http.decode_act(body, http.JSON)
    return [read.observation, read.options]


def msgpack_body(body: bytes) -> Any:
    read = http.decode_act(body, http.MSGPACK)
    return [read.observation, read.options]


REQUESTS = [path.read_bytes() for path in sorted(GOLDEN.glob("*/*_request.msgpack"))]
SHOWN = http.ActRequest(
    encode_observation(policy_input(policy(), observation()), http.ARRANGEMENT), {"stamp_ns": 5}
)

CASES: list[tuple[Callable[[bytes], Any], list[bytes]]] = [
    (request, REQUESTS),
    (json_body, [http.encode_act(SHOWN, http.JSON)]),
    (msgpack_body, [http.encode_act(SHOWN, http.MSGPACK)]),
]
cases = pytest.mark.parametrize(("decode", "seeds"), CASES)


@cases
def test_changed_messages_are_refused_or_plain(decode: Callable[[bytes], Any], seeds: list[bytes]):
    assert fuzz(decode, seeds, 2000, seed=13) > 20


@pytest.mark.slow
@pytest.mark.timeout(900)
@cases
def test_many_changed_messages_are_refused_or_plain(
    decode: Callable[[bytes], Any], seeds: list[bytes]
):
    assert fuzz(decode, seeds, 100_000, seed=14) > 1000
