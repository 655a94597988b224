# SPDX-License-Identifier: Apache-2.0
"""What an ACT server answers: one action, nothing, or an error. Pure; any thread may call."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_ros.core.errors import RemotePolicyError, WireFormatError
from vla_ros.wire.limits import DEFAULT_MAX_BYTES
from vla_ros.wire.pickle.arrays import NUMPY, pickled_array, unpickled
from vla_ros.wire.pickle.reader import read_pickle
from vla_ros.wire.pickle.writer import write_pickle
from vla_ros.wire.shown import shown

_OK, _ERROR = "OK", "ERROR"
# The answer to a reset.
DONE: bytes = write_pickle({"status": _OK})


def encode_action(action: NDArray[Any]) -> bytes:
    """The answer to an observation.

    Args:
        action: (D,) In the policy's order and units.

    Raises:
        WireFormatError: The array is of a kind that cannot be sent.
    """
    return write_pickle({"status": _OK, "action": pickled_array(action)})


def encode_error(text: str) -> bytes:
    """The answer to what cannot be answered."""
    return write_pickle({"status": _ERROR, "message": text})


def decode_done(data: bytes, *, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
    """See that a reset was done.

    Raises:
        RemotePolicyError: It was not; the text is the server's own.
        WireFormatError: It is no reply, or longer than allowed.
    """
    _read(data, max_bytes)


def decode_action(data: bytes, *, max_bytes: int = DEFAULT_MAX_BYTES) -> NDArray[Any]:
    """(D,) The action in a reply, in the policy's order and units; read-only.

    Raises:
        RemotePolicyError: It is an error; the text is the server's own.
        WireFormatError: It is no reply with an action, or longer than allowed.
    """
    action = unpickled(_read(data, max_bytes).get("action"))
    if not isinstance(action, np.ndarray) or action.ndim != 1 or action.dtype.kind not in "fiu":
        raise WireFormatError(f"action must be an array (D,) of numbers; found {shown(action)}")
    return action


def _read(data: bytes, max_bytes: int) -> dict[str, Any]:
    reply = read_pickle(data, NUMPY, max_bytes=max_bytes)
    match reply:
        case {"status": str(status)} if status == _OK:
            # Its keys are texts: the reader refuses others.
            return dict(reply)
        case {"status": str(status), "message": str(text)} if status == _ERROR:
            raise RemotePolicyError(f"the policy server says: {text}")
    raise WireFormatError(
        f"a reply must be a dict with status {_OK!r}, or with status {_ERROR!r} and a message"
        f" (text); found {shown(reply)}"
    )
