# SPDX-License-Identifier: Apache-2.0
"""What openpi's policy server sends: metadata, an answer, an error. Pure; any thread may call.

A message is one WebSocket frame: bytes if binary, text if not. Only an error is text, and, from
RoboArena's servers, the answer to a reset.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_ros.core.errors import ConfigError, RemotePolicyError, WireFormatError
from vla_ros.core.policy_io import split_columns
from vla_ros.core.policy_spec import PolicySpec
from vla_ros.wire.limits import DEFAULT_MAX_BYTES
from vla_ros.wire.msgpack_tree import pack, unpack
from vla_ros.wire.openpi.arrays import decode_map, encode_array
from vla_ros.wire.shown import shown

Message = bytes | str

_ACTIONS, _TIMING, _INFER_MS = "actions", "server_timing", "infer_ms"
# What a server may say of its policy in its metadata.
_HORIZON, _WIDTH = "action_horizon", "action_dim"
_RESET_DONE = "reset successful"
# An error may be a whole traceback. What went wrong stands at its end.
_MAX_ERROR = 8 * 1024


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What a policy answered.

    Attributes:
        actions: The policy's action key to (H, D), in its units; not checked against its spec.
        timing_ms: What the server says that took how long [ms], such as ``infer_ms``.
    """

    actions: Mapping[str, NDArray[Any]]
    timing_ms: Mapping[str, float]

    @property
    def inference_ns(self) -> int:
        """How long the policy itself took, as the server says; 0 where it says nothing of use."""
        taken_ms = self.timing_ms.get(_INFER_MS, 0.0)
        return round(1e6 * taken_ms) if isfinite(taken_ms) and taken_ms > 0 else 0


def encode_metadata(policy: PolicySpec) -> bytes:
    """What a server says first: how many actions of how many values its policy answers."""
    metadata = {"name": policy.name, _HORIZON: policy.horizon, _WIDTH: len(policy.action_names)}
    return pack(metadata, encode_array)


def decode_metadata(message: Message, *, max_bytes: int = DEFAULT_MAX_BYTES) -> Mapping[str, Any]:
    """What a server says first.

    Raises:
        RemotePolicyError: It is an error; the text is the server's own.
        WireFormatError: It is no map, or longer than allowed.
    """
    metadata = _read(message, max_bytes)
    if not isinstance(metadata, dict):
        raise WireFormatError(f"metadata must be a map; found {shown(metadata)}")
    return metadata


def check_metadata(policy: PolicySpec, metadata: Mapping[str, Any], *, server: str) -> None:
    """See that what a server says of its policy is what the policy's file says. Most say nothing.

    Raises:
        ConfigError: It is not.
    """
    for key, ours in ((_HORIZON, policy.horizon), (_WIDTH, len(policy.action_names))):
        theirs = metadata.get(key)
        if isinstance(theirs, int) and theirs != ours:
            raise ConfigError(
                f"{policy.source}: {key} is {ours}; the server at {server} says {shown(theirs)}"
            )


def encode_answer(actions: NDArray[Any], timing_ms: Mapping[str, float]) -> bytes:
    """The answer to an observation.

    Args:
        actions: (H, D) In the policy's units, all its keys' columns, key after key.
        timing_ms: What took how long [ms].

    Raises:
        WireFormatError: The array is of a kind that cannot be sent.
    """
    return pack({_ACTIONS: actions, _TIMING: timing_ms}, encode_array)


def encode_reset_done() -> bytes:
    """The answer to a reset."""
    return pack({"status": _RESET_DONE}, encode_array)


def decode_answer(
    message: Message, policy: PolicySpec, *, max_bytes: int = DEFAULT_MAX_BYTES
) -> Answer:
    """The answer to an observation.

    openpi answers with ``actions``, whose columns are the policy's action keys, one after another.
    vLLM-Omni may answer with that array alone, or with one array for each key, and with a leading
    axis of one.

    Raises:
        RemotePolicyError: It is an error; the text is the server's own.
        WireFormatError: It is no answer, or longer than allowed.
    """
    tree = _read(message, max_bytes)
    if isinstance(tree, np.ndarray):
        tree = {_ACTIONS: tree}
    if not isinstance(tree, dict):
        raise WireFormatError(f"an answer must be a map or an array; found {shown(tree)}")
    timing = tree.get(_TIMING, {})
    if not isinstance(timing, dict) or not all(_is_number(value) for value in timing.values()):
        raise WireFormatError(f"{_TIMING} must be a map of numbers; found {shown(timing)}")
    timing_ms = {key: float(value) for key, value in timing.items()}
    if _ACTIONS not in tree and all(key in tree for key in policy.action):
        return Answer({key: _actions(key, tree[key]) for key in policy.action}, timing_ms)
    actions = _actions(_ACTIONS, tree.get(_ACTIONS))
    return Answer(split_columns(policy.action, actions), timing_ms)


def decode_reset_done(message: Message, *, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
    """See that a reset was done.

    Raises:
        RemotePolicyError: It was not; the text is the server's own.
        WireFormatError: It is no answer to a reset, or longer than allowed.
    """
    if isinstance(message, str) and message == _RESET_DONE:
        return
    done = _read(message, max_bytes)
    match done:
        case {"status": str(status)} if status == _RESET_DONE:
            return
    raise WireFormatError(f"a reset is answered with status {_RESET_DONE!r}; found {shown(done)}")


def _read(message: Message, max_bytes: int) -> Any:
    """What a server sent, if it is no error."""
    if isinstance(message, str):
        raise _error(message)
    tree = unpack(message, decode_map, max_bytes=max_bytes)
    match tree:
        case {"type": "error", "message": str(text)}:
            raise _error(text)
    return tree


def _actions(key: str, value: Any) -> NDArray[Any]:
    """(H, D) without a leading axis of one."""
    if isinstance(value, np.ndarray) and value.ndim == 3 and len(value) == 1:
        value = value[0]
    if not isinstance(value, np.ndarray) or value.ndim != 2 or value.dtype.kind not in "fiu":
        raise WireFormatError(f"{key} must be an array (H, D) of numbers; found {shown(value)}")
    return value


def _error(text: str) -> RemotePolicyError:
    return RemotePolicyError(f"the policy server says: {text[-_MAX_ERROR:].strip()}")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
