# SPDX-License-Identifier: Apache-2.0
"""What a client sends openpi's policy server: an observation, a reset. Pure; any thread may call.

openpi's own server knows no reset, and takes all that is sent for an observation. RoboArena's
servers and vLLM-Omni's look for an ``endpoint`` in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_ros.core.errors import WireFormatError
from vla_ros.core.policy_io import PolicyInput
from vla_ros.core.policy_spec import PolicySpec
from vla_ros.wire.limits import DEFAULT_MAX_BYTES
from vla_ros.wire.msgpack_tree import pack, unpack
from vla_ros.wire.openpi.arrays import decode_map, encode_array
from vla_ros.wire.shown import shown

_ENDPOINT, _INFER, _RESET = "endpoint", "infer", "reset"
_SESSION_ID = "session_id"


def encode_observation(given: PolicyInput, *, session_id: str | None = None) -> bytes:
    """An observation as openpi takes it: all keys in one map, the state as float32.

    Args:
        given: It, in the policy's own keys.
        session_id: The episode, for a server that knows sessions and endpoints; None: for openpi's.

    Raises:
        WireFormatError: Two things have the same key.
    """
    state = {key: values.astype(np.float32) for key, values in given.state.items()}
    session = {} if session_id is None else {_ENDPOINT: _INFER, _SESSION_ID: session_id}
    parts: tuple[Mapping[str, Any], ...] = (given.video, state, given.language, session)
    tree = {key: value for part in parts for key, value in part.items()}
    if len(tree) != sum(map(len, parts)):
        keys = ", ".join(key for part in parts for key in part)
        raise WireFormatError(f"the keys of an observation must differ; found {keys}")
    return pack(tree, encode_array)


def encode_reset(session_id: str) -> bytes:
    """Ask a server that knows endpoints to begin a new episode."""
    return pack({_ENDPOINT: _RESET, _SESSION_ID: session_id}, encode_array)


def decode_request(
    message: bytes | str, policy: PolicySpec, *, max_bytes: int = DEFAULT_MAX_BYTES
) -> PolicyInput | None:
    """The observation that a client sent; None: it asks for a reset. Arrays are read-only.

    Of what the policy does not know nothing is looked at. What is missing is left to who checks it.

    Raises:
        WireFormatError: It is no request, or longer than allowed; the text names the key.
    """
    if isinstance(message, str):
        raise WireFormatError(f"a request must be a binary frame; found the text {shown(message)}")
    tree = unpack(message, decode_map, max_bytes=max_bytes)
    if not isinstance(tree, dict):
        raise WireFormatError(f"a request must be a map; found {shown(tree)}")
    endpoint = tree.get(_ENDPOINT, _INFER)
    if not isinstance(endpoint, str) or endpoint not in (_INFER, _RESET):
        raise WireFormatError(f"endpoint must be {_INFER} or {_RESET}; found {shown(endpoint)}")
    if endpoint == _RESET:
        return None
    language = (policy.instruction_key,)
    return PolicyInput(
        video={key: _array(key, tree[key], 3) for key in policy.video if key in tree},
        state={key: _array(key, tree[key], 1) for key in policy.state if key in tree},
        language={key: _text(key, tree[key]) for key in language if key in tree},
    )


def _array(key: str, value: Any, dimensions: int) -> NDArray[Any]:
    if not isinstance(value, np.ndarray) or value.ndim != dimensions:
        form = "(H, W, 3)" if dimensions == 3 else "(D,)"
        raise WireFormatError(f"{key!r} must be an array {form}; found {shown(value)}")
    return value


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise WireFormatError(f"{key!r} must be a text; found {shown(value)}")
    return value
