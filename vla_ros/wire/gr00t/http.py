# SPDX-License-Identifier: Apache-2.0
"""What travels between a GR00T HTTP server and its clients. Pure; any thread may call.

NVIDIA's N1.5 had one from 2025-07 to 2025-12. ``POST /act`` takes ``{"observation": {...}}``, or
``{"encoded": <the same as a text>}``, with the keys of wire A5 in JSON (see ``json_numpy``), and
answers with the map of actions; ``GET /health`` tells whether it is there. An error is a status
with ``{"detail": text}``.

Ours takes more, which NVIDIA's ignores or does not know: ``options`` beside the observation (see
``options``), arrays as plain lists, ``POST /reset``, a token in the header ``Authorization``, and
the same trees in msgpack, with arrays as in wire B, which are a quarter smaller and fast.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vla_ros.core.errors import RemotePolicyError, WireFormatError
from vla_ros.wire.gr00t.codec import pack, unpack
from vla_ros.wire.gr00t.json_numpy import decode_json, encode_json
from vla_ros.wire.gr00t.wires import Arrangement, Gr00tWire, Layout
from vla_ros.wire.limits import DEFAULT_MAX_BYTES
from vla_ros.wire.shown import shown

PORT = 8000
ACT, HEALTH, RESET = "/act", "/health", "/reset"
JSON, MSGPACK = "application/json", "application/msgpack"
# How observations and actions are arranged here.
ARRANGEMENT = Arrangement(Gr00tWire.A5, Layout.FLAT, batched=False)
_BEARER = "Bearer "


@dataclass(frozen=True, slots=True)
class ActRequest:
    """What a client shows.

    Attributes:
        observation: Its tree, as in wire A5.
        options: What it says beside that; see ``decode_options``.
    """

    observation: Mapping[str, Any]
    options: Mapping[str, Any] = field(default_factory=dict)


def is_msgpack(content_type: str) -> bool:
    """Whether a body of a type is msgpack, as its header tells."""
    return content_type.partition(";")[0].strip().lower() == MSGPACK


def encode_tree(tree: Any, content_type: str) -> bytes:
    """A body of a type.

    Raises:
        WireFormatError: It holds what cannot be sent.
    """
    return pack(tree, Gr00tWire.B) if is_msgpack(content_type) else encode_json(tree)


def decode_tree(body: bytes, content_type: str, *, max_bytes: int = DEFAULT_MAX_BYTES) -> Any:
    """The tree in a body of a type; what is not msgpack is JSON.

    Raises:
        WireFormatError: It is none, or longer than allowed.
    """
    if is_msgpack(content_type):
        return unpack(body, max_bytes=max_bytes).value
    return decode_json(body, max_bytes=max_bytes)


def encode_act(request: ActRequest, content_type: str) -> bytes:
    """The body of ``POST /act``.

    Raises:
        WireFormatError: It holds what cannot be sent.
    """
    tree = {"observation": request.observation, "options": request.options}
    return encode_tree(tree, content_type)


def decode_act(body: bytes, content_type: str, *, max_bytes: int = DEFAULT_MAX_BYTES) -> ActRequest:
    """What a client shows, in whichever form.

    Raises:
        WireFormatError: The body is no such request, or longer than allowed.
    """
    tree = decode_tree(body, content_type, max_bytes=max_bytes)
    if isinstance(tree, Mapping) and isinstance(tree.get("encoded"), str):
        tree = decode_json(tree["encoded"], max_bytes=max_bytes)
    if not isinstance(tree, Mapping) or not isinstance(tree.get("observation"), Mapping):
        raise WireFormatError(f"the body must be a map with a map observation; found {shown(tree)}")
    options = tree.get("options")
    if options is not None and not isinstance(options, Mapping):
        raise WireFormatError(f"options must be a map; found {shown(options)}")
    return ActRequest(_with_arrays(tree["observation"]), options or {})


def decode_actions(
    body: bytes, content_type: str, *, max_bytes: int = DEFAULT_MAX_BYTES
) -> Mapping[str, Any]:
    """The map of actions that ``POST /act`` answered with; some servers write it as a text.

    Raises:
        WireFormatError: It is none, or longer than allowed.
    """
    tree = decode_tree(body, content_type, max_bytes=max_bytes)
    if isinstance(tree, str):
        tree = decode_json(tree, max_bytes=max_bytes)
    if not isinstance(tree, Mapping):
        raise WireFormatError(f"the actions must be a map; found {shown(tree)}")
    return _with_arrays(tree)


def encode_error(text: str) -> bytes:
    """The body of an error."""
    return encode_json({"detail": text})


def remote_error(status: int, body: bytes) -> RemotePolicyError:
    """The error that a server answered with, in its own words as far as there are some."""
    try:
        tree = decode_json(body)
    except WireFormatError:
        tree = body.decode("utf-8", "replace")
    words = tree.get("detail", tree) if isinstance(tree, Mapping) else tree
    text = words if isinstance(words, str) else shown(words)
    hint = " (api_token is missing or not the server's)" if status in (401, 403) else ""
    return RemotePolicyError(f"the policy server says: {status}: {text[:1000]}{hint}")


def authorization(api_token: str) -> str:
    """What the header ``Authorization`` says."""
    return f"{_BEARER}{api_token}"


def token_of(header: str) -> str:
    """The token in such a header; empty where there is none."""
    return header.removeprefix(_BEARER) if header.startswith(_BEARER) else ""


def _with_arrays(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The same with lists of numbers as arrays of float64."""
    return {key: _array_of(value) for key, value in tree.items()}


def _array_of(value: Any) -> Any:
    if not isinstance(value, list) or not _numbers(value):
        return value
    try:
        return np.array(value, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise WireFormatError(f"a list of numbers is no array: {error}") from error


def _numbers(value: Any) -> bool:
    """Whether the first thing in nested lists is a number."""
    while isinstance(value, list) and value:
        value = value[0]
    return type(value) in (int, float)
