# SPDX-License-Identifier: Apache-2.0
"""A policy's answer as a GR00T tree, and back. Pure; any thread may call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_ros.core.errors import WireFormatError
from vla_ros.wire.gr00t.modality import ACTION
from vla_ros.wire.gr00t.wires import Arrangement, Gr00tWire, Layout
from vla_ros.wire.shown import shown

# What our servers tell our clients beside the actions.
_SERVER_S = "server_s"
_LONGEST_S = 3600.0


def encode_action(
    by_key: Mapping[str, NDArray[np.floating[Any]]],
    arrangement: Arrangement,
    *,
    server_s: float | None = None,
) -> dict[str, Any] | list[Any]:
    """An answer as a tree: arrays (B, H, D) float32, arranged as the observation was.

    Args:
        by_key: Action key to (H, D) in the policy's units.
        arrangement: How the observation came.
        server_s: How long the server took; None, or wire A5: not to be told.
    """
    prefix = _prefix(arrangement)
    axes = (None,) if arrangement.batched else ()
    actions = {
        f"{prefix}{key}": np.ascontiguousarray(values, np.float32)[axes]
        for key, values in by_key.items()
    }
    if arrangement.wire is Gr00tWire.A5:
        return actions
    return [actions, {} if server_s is None else {_SERVER_S: server_s}]


def server_seconds(tree: Any) -> float:
    """How long the server took for an answer [s]; 0: it did not tell."""
    info = tree[1] if isinstance(tree, list) and len(tree) == 2 else None
    told = info.get(_SERVER_S) if isinstance(info, Mapping) else None
    return told if isinstance(told, float) and 0.0 <= told <= _LONGEST_S else 0.0


def decode_action(
    tree: Any, arrangement: Arrangement, keys: Iterable[str]
) -> dict[str, NDArray[np.floating[Any]]]:
    """Action key to (H, D) in the policy's units, without what was not asked for.

    Keys that are missing are left to ``actions_from``, which names them. Servers of wire A5 before
    2025-09-19 drop the last axis of a key with one dimension: it is put back.

    Args:
        tree: The reply of ``get_action``.
        arrangement: How the observation was sent.
        keys: The policy's action keys.

    Raises:
        WireFormatError: The reply has another form, or a key is no array of floats like that.
    """
    actions = tree
    if arrangement.wire is not Gr00tWire.A5:
        if not isinstance(tree, list) or len(tree) != 2:
            raise WireFormatError(f"the answer must be [actions, info]; found {shown(tree)}")
        actions = tree[0]
    if not isinstance(actions, Mapping):
        raise WireFormatError(f"the actions must be a map; found {shown(actions)}")
    prefix = _prefix(arrangement)
    return {
        key: _array(key, actions[f"{prefix}{key}"], arrangement)
        for key in keys
        if f"{prefix}{key}" in actions
    }


def _prefix(arrangement: Arrangement) -> str:
    return f"{ACTION}." if arrangement.layout is Layout.FLAT else ""


def _array(key: str, value: Any, arrangement: Arrangement) -> NDArray[np.floating[Any]]:
    expected = "(1, H, D)" if arrangement.batched else "(H, D)"
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
        raise WireFormatError(
            f"action key {key!r} must be {expected} float32 or float64; found {shown(value)}"
        )
    array: NDArray[np.floating[Any]] = value
    if arrangement.batched and array.ndim == 3 and array.shape[0] == 1:
        array = array[0]
    elif arrangement.wire is Gr00tWire.A5 and array.ndim == 1:
        array = array[:, None]
    elif arrangement.batched or array.ndim != 2:
        raise WireFormatError(f"action key {key!r} must be {expected}; found {shown(value)}")
    return array
