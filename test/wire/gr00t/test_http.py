# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest

from vla_ros.core.errors import WireFormatError
from vla_ros.wire.gr00t.http import (
    ARRANGEMENT,
    JSON,
    MSGPACK,
    ActRequest,
    authorization,
    decode_act,
    decode_actions,
    decode_tree,
    encode_act,
    encode_error,
    encode_tree,
    is_msgpack,
    remote_error,
    token_of,
)
from vla_ros.wire.gr00t.json_numpy import encode_json
from vla_ros.wire.gr00t.wires import Gr00tWire, Layout

STATE = np.arange(7, dtype=np.float32)[None]
OBSERVATION = {"state.left_arm": STATE, "annotation.human.task_description": ["go"]}

each_type = pytest.mark.parametrize("content_type", [JSON, MSGPACK])


def test_observations_are_arranged_as_nvidias_http_server_wants_them():
    assert (ARRANGEMENT.wire, ARRANGEMENT.layout) == (Gr00tWire.A5, Layout.FLAT)
    assert not ARRANGEMENT.batched


@each_type
def test_an_observation_and_its_options_come_back(content_type: str):
    body = encode_act(ActRequest(OBSERVATION, {"stamp_ns": 7}), content_type)

    read = decode_act(body, content_type)

    assert read.options == {"stamp_ns": 7}
    assert list(read.observation) == list(OBSERVATION)
    np.testing.assert_array_equal(read.observation["state.left_arm"], STATE)
    assert read.observation["state.left_arm"].dtype == np.float32
    assert read.observation["annotation.human.task_description"] == ["go"]


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        (MSGPACK, True), ("Application/MsgPack; charset=x", True), (" application/msgpack ", True),
        (JSON, False), ("", False), ("application/x-msgpack", False),
    ],
)  # fmt: skip
def test_msgpack_is_known_by_its_header(content_type: str, expected: bool):
    assert is_msgpack(content_type) is expected


@each_type
def test_trees_come_back(content_type: str):
    tree = {"a": [1, "x"], "b": None}
    assert decode_tree(encode_tree(tree, content_type), content_type) == tree


def test_an_observation_may_be_encoded_twice():
    inner = encode_json({"observation": OBSERVATION}).decode()
    read = decode_act(json.dumps({"encoded": inner}).encode(), JSON)
    np.testing.assert_array_equal(read.observation["state.left_arm"], STATE)
    assert read.options == {}


def test_lists_of_numbers_are_arrays():
    body = b'{"observation": {"state.x": [[1, 2.5]], "task": ["go"], "empty": [], "n": 3}}'
    read = decode_act(body, JSON).observation
    np.testing.assert_array_equal(read["state.x"], [[1.0, 2.5]])
    assert read["state.x"].dtype == np.float64
    assert (read["task"], read["empty"], read["n"]) == (["go"], [], 3)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"[]", "the body must be a map with a map observation; found list"),
        (b"{}", "must be a map with a map observation"),
        (b'{"observation": 3}', "must be a map with a map observation"),
        (b'{"encoded": 3}', "must be a map with a map observation"),
        (b'{"encoded": "{"}', "message is not JSON"),
        (b'{"encoded": "3"}', "must be a map with a map observation; found int 3"),
        (b'{"observation": {}, "options": 3}', "options must be a map; found int 3"),
        (b'{"observation": {"state.x": [[1], [2, 3]]}}', "a list of numbers is no array"),
        (b'{"observation": {"state.x": [1, "a"]}}', "a list of numbers is no array"),
        (b'{"observation": {"state.x": [1' + b"0" * 400 + b"]}}", "a list of numbers is no array"),
        (b'{"observation": {"state.x": [1, null, {}]}}', "a list of numbers is no array"),
        (b'{"observation"', "message is not JSON"),
    ],
)
def test_a_body_that_is_none_is_named(body: bytes, text: str):
    with pytest.raises(WireFormatError, match=text):
        decode_act(body, JSON)


@each_type
def test_a_body_beyond_the_limit_is_refused(content_type: str):
    body = encode_act(ActRequest(OBSERVATION), content_type)
    with pytest.raises(WireFormatError, match=f"has {len(body)} bytes; at most 10 are allowed"):
        decode_act(body, content_type, max_bytes=10)


@pytest.mark.parametrize("tree", [{"action.x": STATE}, {"action.x": STATE.tolist()}])
def test_actions_are_read_as_arrays_or_lists(tree: dict[str, Any]):
    body = encode_json(tree)
    for sent in (body, encode_json(body.decode())):
        np.testing.assert_array_equal(decode_actions(sent, JSON)["action.x"], STATE)


def test_actions_that_are_none_are_named():
    with pytest.raises(WireFormatError, match="the actions must be a map; found list"):
        decode_actions(b"[]", JSON)


@pytest.mark.parametrize(
    ("status", "body", "text"),
    [
        (500, encode_error("no such key"), "the policy server says: 500: no such key"),
        (401, encode_error("Unauthorized"), r"401: Unauthorized \(api_token is missing or not"),
        (403, b"go away", r"403: go away \(api_token"),
        (422, b'{"detail": [{"loc": ["body"]}]}', "422: list .*loc"),
        (404, b"[1]", "404: list"),
        (502, b"<html>\xff", "502: <html>"),
        (500, b"x" * 5000, "500: x{1000}$"),
        (500, b"", "500: $"),
    ],
)
def test_an_error_is_told_in_the_servers_words(status: int, body: bytes, text: str):
    error = remote_error(status, body)
    assert re.search(text, str(error)), error


def test_a_token_travels_in_a_header():
    assert token_of(authorization("se cret")) == "se cret"
    assert token_of("") == token_of("Basic abc") == ""
