# SPDX-License-Identifier: Apache-2.0
"""Requests and replies of GR00T's policy server, as bytes. Pure; any thread may call.

A request is ``{"endpoint": ..., "data": ..., "api_token": ...}``; a reply is the endpoint's value,
or ``{"error": text}``, in every wire. Between two programs of this package a request may have parts
beside this one, see ``codec``, and ``"unavailable": true`` beside an error says that the server is
not to be had now, whatever is asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vla_ros.core.errors import BackendUnavailable, RemotePolicyError, WireFormatError
from vla_ros.wire.gr00t.codec import pack, pack_parts, pack_pieces, unpack
from vla_ros.wire.gr00t.wires import Gr00tWire
from vla_ros.wire.limits import DEFAULT_MAX_BYTES
from vla_ros.wire.shown import shown

# What a server can be asked. Wire A5 knows no reset.
PING = "ping"
KILL = "kill"
RESET = "reset"
GET_ACTION = "get_action"
GET_MODALITY_CONFIG = "get_modality_config"
# What servers of this package can be asked beside that.
GET_CAPABILITIES = "get_capabilities"
MEASURE_LINK = "measure_link"

_UNAVAILABLE = "unavailable"
_UNAUTHORIZED = "Unauthorized"


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asks.

    Attributes:
        endpoint: Which endpoint; it need not exist.
        data: Its arguments.
        api_token: What the client says to be let in; None: nothing.
        wire: The wire to answer ``get_action`` in.
    """

    endpoint: str
    data: Mapping[str, Any] = field(default_factory=dict)
    api_token: str | None = field(default=None, repr=False)
    wire: Gr00tWire = Gr00tWire.B


def encode_request(request: Request) -> bytes:
    """A request as bytes.

    Raises:
        WireFormatError: The data hold what cannot be sent.
    """
    return pack(_message(request), request.wire)


def encode_request_pieces(request: Request) -> list[bytes | memoryview]:
    """A request in pieces that are to be joined; those of arrays are not copied.

    Raises:
        WireFormatError: The data hold what cannot be sent.
    """
    return pack_pieces(_message(request), request.wire)


def encode_request_parts(request: Request) -> tuple[bytes, list[memoryview]]:
    """A request of wire B in parts, without a copy of its large arrays.

    Returns:
        Its first part, and the others; see ``pack_parts``.

    Raises:
        WireFormatError: The data hold what cannot be sent.
    """
    return pack_parts(_message(request))


def decode_request(
    data: bytes | memoryview,
    parts: Sequence[bytes | memoryview] = (),
    *,
    max_bytes: int = DEFAULT_MAX_BYTES,
) -> Request:
    """The request in bytes.

    As in GR00T, a missing endpoint means ``get_action``. Missing data or nil mean none.

    Args:
        data: It, or its first part.
        parts: Its other parts.
        max_bytes: A longer one is refused, all parts together.

    Raises:
        WireFormatError: It is no request, or longer than allowed.
    """
    unpacked = unpack(data, parts, max_bytes=max_bytes)
    message = unpacked.value
    if not isinstance(message, Mapping):
        raise WireFormatError(f"a request must be a map; found {shown(message)}")
    endpoint = message.get("endpoint", GET_ACTION)
    if not isinstance(endpoint, str):
        raise WireFormatError(f"endpoint must be a string; found {shown(endpoint)}")
    arguments = message.get("data")
    if arguments is None:
        arguments = {}
    if not isinstance(arguments, Mapping):
        raise WireFormatError(f"data must be a map; found {shown(arguments)}")
    token = message.get("api_token")
    if token is not None and not isinstance(token, str):
        raise WireFormatError(f"api_token must be a string; found {type(token).__name__}")
    wire = Gr00tWire.B
    if unpacked.has_npy_arrays:
        wire = Gr00tWire.A6 if "observation" in arguments else Gr00tWire.A5
    return Request(endpoint, arguments, token, wire)


def encode_reply(value: Any, wire: Gr00tWire) -> bytes:
    """An endpoint's value as bytes.

    Raises:
        WireFormatError: It holds what cannot be sent.
    """
    return pack(value, wire)


def encode_error(text: str, *, unavailable: bool = False) -> bytes:
    """An error as bytes; the same in every wire.

    Args:
        text: What is wrong.
        unavailable: Whether another server might do what this one cannot do now.
    """
    error: dict[str, Any] = {"error": text}
    if unavailable:
        error[_UNAVAILABLE] = True
    return pack(error, Gr00tWire.B)


def decode_reply(data: bytes | memoryview, *, max_bytes: int = DEFAULT_MAX_BYTES) -> Any:
    """The value in a reply.

    Raises:
        RemotePolicyError: It is an error; the text is the server's own.
        BackendUnavailable: The server is not to be had now, and says why.
        WireFormatError: It is no reply, or longer than allowed.
    """
    value = unpack(data, max_bytes=max_bytes).value
    if isinstance(value, Mapping) and "error" in value:
        text = value["error"]
        if not isinstance(text, str):
            text = shown(text)
        if not text:
            text = "an error without a text (the server could not read the request, most likely)"
        elif text.startswith(_UNAUTHORIZED):
            text = f"{text} (api_token is missing or not the server's)"
        kind = BackendUnavailable if value.get(_UNAVAILABLE) is True else RemotePolicyError
        raise kind(f"the policy server says: {text}")
    return value


def _message(request: Request) -> dict[str, Any]:
    message: dict[str, Any] = {"endpoint": request.endpoint}
    if request.data:
        message["data"] = request.data
    if request.api_token is not None:
        message["api_token"] = request.api_token
    return message
