# SPDX-License-Identifier: Apache-2.0
"""What vla_ros sends beside an observation, in the ``options`` of ``get_action``.

GR00T's own servers ignore it. A server of this package gives the observation its own stamp, and
its backend the actions that are committed already. Pure; any thread may call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np

from vla_ros.core.errors import WireFormatError
from vla_ros.core.observation import Observation, ObservationRequest, Prefix
from vla_ros.wire.shown import shown

_MAX_ID = 2**64 - 1
_MAX_STAMP = 2**63 - 1
_MAX_STEPS = 2**31 - 1
_MAX_S = 60.0


@dataclass(frozen=True, slots=True)
class Options:
    """What a request said beside its observation.

    Attributes:
        stamp_ns: When the observation was made [ns of the client's clock]; None: not told.
        request: The client's own request; None: not told.
        prefix: Actions that are committed already.
        runs_out_in_s: For how long from when the request was sent the robot has something to
            execute, at most a minute; None: not told.
    """

    stamp_ns: int | None = None
    request: ObservationRequest | None = None
    prefix: Prefix | None = None
    runs_out_in_s: float | None = None


def encode_options(
    observation: Observation, prefix: Prefix | None, *, now_ns: int
) -> dict[str, Any]:
    """The options of a request.

    Args:
        observation: What is sent.
        prefix: Actions that are committed already.
        now_ns: When it is sent [ns of the observation's clock].
    """
    options: dict[str, Any] = {"stamp_ns": observation.stamp_ns}
    request = observation.request
    if request is not None:
        options["request_id"] = request.request_id
        options["epoch"] = request.epoch
        if request.runs_out_ns is not None:
            options["runs_out_in_s"] = _clamped((request.runs_out_ns - now_ns) * 1e-9)
    if prefix is not None:
        options["prefix"] = {"names": list(prefix.names), "actions": prefix.actions}
        options["inference_delay_s"] = prefix.inference_delay_s
        options["execution_horizon"] = prefix.execution_horizon
    return options


def decode_options(tree: Any) -> Options:
    """The options of a request. Keys of other clients are ignored; nothing at all is allowed.

    Raises:
        WireFormatError: A key that this package sends has the wrong type or shape.
    """
    if tree is None:
        return Options()
    if not isinstance(tree, Mapping):
        raise WireFormatError(f"options must be a map or nil; found {shown(tree)}")
    stamp_ns = _integer(tree, "stamp_ns", _MAX_STAMP) if "stamp_ns" in tree else None
    request = None
    if stamp_ns is not None and "request_id" in tree:
        request = ObservationRequest(
            request_id=_integer(tree, "request_id", _MAX_ID),
            epoch=_integer(tree, "epoch", _MAX_ID) if "epoch" in tree else 0,
            stamp_ns=stamp_ns,
            must_go=False,
        )
    prefix = _prefix(tree) if "prefix" in tree else None
    return Options(stamp_ns, request, prefix, _runs_out_in_s(tree))


def _runs_out_in_s(tree: Mapping[str, Any]) -> float | None:
    seconds = tree.get("runs_out_in_s")
    if seconds is None:
        return None
    if type(seconds) not in (int, float) or not -inf < seconds < inf:
        raise WireFormatError(
            f"options.runs_out_in_s must be a finite number; found {shown(seconds)}"
        )
    return float(_clamped(seconds))


def _clamped(seconds: float) -> float:
    return min(max(seconds, 0.0), _MAX_S)


def _prefix(tree: Mapping[str, Any]) -> Prefix:
    given, delay_s = tree["prefix"], tree.get("inference_delay_s", 0.0)
    names = given.get("names") if isinstance(given, Mapping) else None
    actions = given.get("actions") if isinstance(given, Mapping) else None
    if (
        not isinstance(names, list)
        or not all(isinstance(name, str) for name in names)
        or not isinstance(actions, np.ndarray)
        or actions.dtype.kind != "f"
        or actions.ndim != 2
        or actions.shape[1] != len(names)
        or not np.isfinite(actions).all()
    ):
        raise WireFormatError(
            "options.prefix must be a map of names (D,) and actions (P, D) of finite floats; found"
            f" {shown(given)}"
        )
    if not isinstance(delay_s, (int, float)) or not 0.0 <= delay_s <= _MAX_S:
        raise WireFormatError(
            f"options.inference_delay_s must be 0 to {_MAX_S:g}; found {shown(delay_s)}"
        )
    steps = {"execution_horizon": 0, **tree}
    return Prefix(
        names=tuple(names),
        actions=actions.astype(np.float64),
        inference_delay_s=float(delay_s),
        execution_horizon=_integer(steps, "execution_horizon", _MAX_STEPS),
    )


def _integer(tree: Mapping[str, Any], key: str, maximum: int) -> int:
    value = tree[key]
    if type(value) is not int or not 0 <= value <= maximum:
        raise WireFormatError(
            f"options.{key} must be an integer of 0 to {maximum}; found {shown(value)}"
        )
    return value
