# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from test.support.gr00t_samples import moves, observation, policy
from vla_ros.core.errors import BackendUnavailable, RemotePolicyError, WireFormatError
from vla_ros.core.policy_io import actions_from, policy_input
from vla_ros.wire.gr00t.action import decode_action, encode_action
from vla_ros.wire.gr00t.message import (
    Request,
    decode_reply,
    decode_request,
    encode_error,
    encode_reply,
    encode_request,
    encode_request_parts,
    encode_request_pieces,
)
from vla_ros.wire.gr00t.observation import encode_observation
from vla_ros.wire.gr00t.wires import Arrangement, Gr00tWire, Layout

GOLDEN = Path(__file__).parent / "golden"
ARRANGEMENTS = [
    ("get_action", Arrangement(Gr00tWire.A5, Layout.FLAT, batched=False)),
    ("get_action", Arrangement(Gr00tWire.A6, Layout.NESTED)),
    ("get_action", Arrangement(Gr00tWire.B, Layout.NESTED)),
    ("get_action_flat", Arrangement(Gr00tWire.A6, Layout.FLAT)),
    ("get_action_flat", Arrangement(Gr00tWire.B, Layout.FLAT)),
]


def golden(wire: Gr00tWire, name: str) -> bytes:
    return (GOLDEN / wire.value / f"{name}.msgpack").read_bytes()


def action_request(arrangement: Arrangement) -> Request:
    tree = encode_observation(policy_input(policy(), observation()), arrangement)
    data = tree if arrangement.wire is Gr00tWire.A5 else {"observation": tree, "options": None}
    return Request("get_action", data, wire=arrangement.wire)


@pytest.mark.parametrize(("name", "arrangement"), ARRANGEMENTS)
def test_golden_action_requests(name: str, arrangement: Arrangement):
    request = action_request(arrangement)

    assert encode_request(request) == golden(arrangement.wire, f"{name}_request")
    decoded = decode_request(golden(arrangement.wire, f"{name}_request"))
    assert decoded.endpoint == "get_action"
    assert decoded.wire is arrangement.wire
    assert decoded.data.keys() == request.data.keys()


@pytest.mark.parametrize(("name", "arrangement"), ARRANGEMENTS)
def test_golden_action_replies(name: str, arrangement: Arrangement):
    reply = golden(arrangement.wire, f"{name}_reply")
    by_key = {"single_arm": moves()[:, :5], "gripper": moves()[:, 5:]}

    decoded = decode_action(decode_reply(reply), arrangement, policy().action)

    np.testing.assert_array_equal(actions_from(policy(), decoded), moves())
    assert encode_reply(encode_action(by_key, arrangement), arrangement.wire) == reply


@pytest.mark.parametrize("wire", list(Gr00tWire))
@pytest.mark.parametrize(
    ("name", "request_"),
    [
        ("ping", Request("ping")),
        ("kill", Request("kill", api_token="secret")),
        ("reset", Request("reset", {"options": None})),
        ("get_modality_config", Request("get_modality_config")),
    ],
)
def test_golden_requests_are_the_same_in_all_wires(wire: Gr00tWire, name: str, request_: Request):
    assert encode_request(request_) == golden(wire, f"{name}_request")
    assert decode_request(golden(wire, f"{name}_request")) == request_


@pytest.mark.parametrize("wire", list(Gr00tWire))
@pytest.mark.parametrize(
    ("name", "value"),
    [("ping", {"status": "ok", "message": "Server is running"}), ("kill", None), ("reset", {})],
)
def test_golden_replies_are_the_same_in_all_wires(wire: Gr00tWire, name: str, value: Any):
    assert encode_reply(value, wire) == golden(wire, f"{name}_reply")
    assert decode_reply(golden(wire, f"{name}_reply")) == value


@pytest.mark.parametrize("wire", list(Gr00tWire))
def test_golden_errors(wire: Gr00tWire):
    assert encode_error("Unknown endpoint: nothing") == golden(wire, "error_reply")
    with pytest.raises(RemotePolicyError, match="policy server says: Unknown endpoint: nothing"):
        decode_reply(golden(wire, "error_reply"))


@pytest.mark.parametrize(
    ("error", "text"),
    [
        ("'front'", "policy server says: 'front'"),
        ("", "an error without a text"),
        (
            "Unauthorized: Invalid API token",
            r"Unauthorized: .* \(api_token is missing or not the server's\)",
        ),
        (None, "policy server says: NoneType None"),
    ],
)
def test_every_error_is_an_error(error: Any, text: str):
    with pytest.raises(RemotePolicyError, match=text):
        decode_reply(msgpack.packb({"error": error}))


def test_a_server_that_is_not_to_be_had_now_says_so():
    with pytest.raises(BackendUnavailable, match="policy server says: it is ending"):
        decode_reply(encode_error("it is ending", unavailable=True))
    with pytest.raises(RemotePolicyError, match="policy server says: x"):
        decode_reply(msgpack.packb({"error": "x", "unavailable": 1}))


def test_what_is_left_out_has_its_default():
    assert decode_request(b"\x80") == Request("get_action")
    assert decode_request(msgpack.packb({"endpoint": "reset", "data": None})) == Request("reset")


def test_the_token_is_not_shown():
    assert "secret" not in repr(Request("ping", api_token="secret"))


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ([], "a request must be a map; found list"),
        (None, "a request must be a map; found NoneType"),
        ({"endpoint": 3}, "endpoint must be a string; found int 3"),
        ({"endpoint": "reset", "data": [1]}, "data must be a map; found list"),
        ({"api_token": 12345}, "api_token must be a string; found int$"),
    ],
)
def test_a_bad_request_is_refused(message: Any, text: str):
    with pytest.raises(WireFormatError, match=text):
        decode_request(msgpack.packb(message))


def test_long_messages_are_refused():
    with pytest.raises(WireFormatError, match="at most 10 are allowed"):
        decode_request(bytes(11), max_bytes=10)
    with pytest.raises(WireFormatError, match="at most 10 are allowed"):
        decode_reply(bytes(11), max_bytes=10)


@given(
    st.dictionaries(
        st.sampled_from(["endpoint", "data", "api_token", "error"]),
        st.none() | st.text() | st.integers(-5, 5) | st.dictionaries(st.text(), st.text()),
    )
)
def test_arbitrary_maps_raise_nothing_else(message: dict[str, Any]):
    for decode in (decode_request, decode_reply):
        with contextlib.suppress(WireFormatError, RemotePolicyError):
            decode(msgpack.packb(message))


def test_a_request_in_parts():
    image = np.random.default_rng(0).integers(0, 255, (1, 1, 90, 90, 3), np.uint8)
    data = {"observation": {"video": {"front": image}}, "options": None}

    first, rest = encode_request_parts(Request("get_action", data, "secret"))

    assert len(first) < 300
    request = decode_request(first, rest)
    assert (request.endpoint, request.api_token, request.wire) == (
        "get_action", "secret", Gr00tWire.B,
    )  # fmt: skip
    np.testing.assert_array_equal(request.data["observation"]["video"]["front"], image)
    with pytest.raises(WireFormatError, match=r"message has .* bytes; at most 20000 are allowed"):
        decode_request(first, rest, max_bytes=20_000)


@pytest.mark.parametrize("wire", list(Gr00tWire))
def test_a_requests_pieces_are_views_of_its_arrays(wire: Gr00tWire):
    image = np.random.default_rng(0).integers(0, 255, (9, 9, 3), np.uint8)
    request = Request("get_action", {"image": image}, wire=wire)

    pieces = encode_request_pieces(request)

    assert b"".join(pieces) == encode_request(request)
    assert any(
        isinstance(piece, memoryview) and np.shares_memory(np.frombuffer(piece, np.uint8), image)
        for piece in pieces
    )


def test_a_request_without_large_arrays_is_nvidias_own():
    assert encode_request_parts(Request("ping")) == (golden(Gr00tWire.B, "ping_request"), [])
