# SPDX-License-Identifier: Apache-2.0
"""What a policy says that it takes and gives: the reply of ``get_modality_config``.

It is all that the wire tells of a policy: keys and time offsets, but no dimensions, rates or units.
It also tells the wire, which nothing else does before the first action. Pure; any thread may call.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vla_ros.core.errors import ConfigError, WireFormatError
from vla_ros.core.past_frames import NOW
from vla_ros.core.policy_spec import PolicySpec
from vla_ros.wire.gr00t.wires import Gr00tWire
from vla_ros.wire.shown import shown

VIDEO, STATE, ACTION, LANGUAGE = "video", "state", "action", "language"
_PREFIXED = (VIDEO, STATE, ACTION)
_MARKER_A = "__ModalityConfig_class__"
_MARKER_B = "__ModalityConfig__"


@dataclass(frozen=True, slots=True)
class ModalityConfig:
    """One modality of a policy.

    Attributes:
        delta_indices: Time offsets in steps of the dataset: 0 is now, -15 is history.
        modality_keys: Its keys, without the modality's name.
    """

    delta_indices: tuple[int, ...]
    modality_keys: tuple[str, ...]


def modality_of(policy: PolicySpec) -> dict[str, ModalityConfig]:
    """What a server says of a policy. A modality without keys is left out, as none may be empty."""
    modalities = {
        VIDEO: ModalityConfig(policy.video_deltas, tuple(policy.video)),
        STATE: ModalityConfig(NOW, tuple(policy.state)),
        ACTION: ModalityConfig(tuple(range(policy.horizon)), tuple(policy.action)),
        LANGUAGE: ModalityConfig(NOW, (policy.instruction_key,)),
    }
    return {name: config for name, config in modalities.items() if config.modality_keys}


def encode_modality(
    modalities: Mapping[str, ModalityConfig], wire: Gr00tWire | None
) -> dict[str, Any]:
    """The reply of ``get_modality_config`` as a tree.

    Args:
        modalities: Modality to its keys and offsets.
        wire: Marks the reply for clients of this wire. None marks it for A6 and for B at once,
            because nothing in the request tells which of them asks.
    """
    if wire is Gr00tWire.A5:
        return {name: _encode_a5(name, config) for name, config in modalities.items()}
    markers = {None: (_MARKER_A, _MARKER_B), Gr00tWire.A6: (_MARKER_A,), Gr00tWire.B: (_MARKER_B,)}
    marked = dict.fromkeys(markers[wire], True)
    return {
        name: {
            **marked,
            "as_json": {
                "delta_indices": list(config.delta_indices),
                "modality_keys": list(config.modality_keys),
                "sin_cos_embedding_keys": None,
                "mean_std_embedding_keys": None,
                "action_configs": None,
            },
        }
        for name, config in modalities.items()
    }


def _encode_a5(name: str, config: ModalityConfig) -> dict[str, Any]:
    prefix = f"{name}." if name in _PREFIXED else ""
    fields = {
        "delta_indices": list(config.delta_indices),
        "modality_keys": [prefix + key for key in config.modality_keys],
    }
    return {_MARKER_A: True, "as_json": json.dumps(fields, separators=(",", ":"))}


def decode_modality(value: Any) -> tuple[dict[str, ModalityConfig], Gr00tWire]:
    """What a policy takes and gives, and the wire that its server speaks.

    Args:
        value: The reply of ``get_modality_config``, unpacked.

    Raises:
        WireFormatError: It is something else, or says nothing.
    """
    if not isinstance(value, Mapping) or not value:
        raise WireFormatError(
            f"get_modality_config must give a map of modalities, found {shown(value)}; without it"
            " nothing tells the server's wire"
        )
    decoded = {name: _decode_one(name, item) for name, item in value.items()}
    wires = {wire for _, wire in decoded.values()}
    if len(wires) != 1:
        names = ", ".join(sorted(wire.value for wire in wires))
        raise WireFormatError(f"get_modality_config gives modalities of wires {names} at once")
    return {name: config for name, (config, _) in decoded.items()}, wires.pop()


def _decode_one(name: str, item: Any) -> tuple[ModalityConfig, Gr00tWire]:
    where = f"modality {name}"
    if not isinstance(item, Mapping) or not (_MARKER_A in item or _MARKER_B in item):
        raise WireFormatError(
            f"{where}: must be a map marked {_MARKER_B} or {_MARKER_A}, found {shown(item)}"
        )
    fields = item.get("as_json")
    wire = Gr00tWire.B if _MARKER_B in item else Gr00tWire.A6
    if wire is Gr00tWire.A6 and isinstance(fields, str):
        wire = Gr00tWire.A5
        fields = _json(fields, where)
    if not isinstance(fields, Mapping):
        raise WireFormatError(f"{where}: as_json must be a map, found {shown(fields)}")
    deltas, keys = fields.get("delta_indices"), fields.get("modality_keys")
    if not isinstance(deltas, list) or not all(type(delta) is int for delta in deltas):
        raise WireFormatError(
            f"{where}: delta_indices must be a list of integers, found {shown(deltas)}"
        )
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise WireFormatError(
            f"{where}: modality_keys must be a list of strings, found {shown(keys)}"
        )
    if wire is Gr00tWire.A5 and name in _PREFIXED:
        keys = [key.removeprefix(f"{name}.") for key in keys]
    return ModalityConfig(tuple(deltas), tuple(keys)), wire


def check_modality(policy: PolicySpec, given: Mapping[str, ModalityConfig], *, server: str) -> None:
    """Refuse a server whose policy is not the one described.

    Args:
        policy: What the description says.
        given: What the server says.
        server: Its address, for errors.

    Raises:
        ConfigError: Keys, history or horizon differ. The text names both sides.
    """
    expected = modality_of(policy)
    for name in (VIDEO, STATE, LANGUAGE):
        ours, theirs = _keys(expected, name), _keys(given, name)
        if ours != theirs:
            raise _differs(policy, server, f"{name} keys", ours, theirs)
        wanted, offsets = _offsets(expected, name), _offsets(given, name)
        if wanted != offsets:
            raise _differs(policy, server, f"{name} delta_indices [steps]", wanted, offsets)
    ours, theirs = _keys(expected, ACTION), _keys(given, ACTION)
    if not ours <= theirs:
        raise _differs(policy, server, "action keys", ours, theirs)
    horizon, offsets = expected[ACTION].delta_indices, given[ACTION].delta_indices
    if horizon != offsets:
        raise _differs(
            policy, server, "action offsets [steps] (0 to horizon - 1)", horizon, offsets
        )


def _keys(modalities: Mapping[str, ModalityConfig], name: str) -> set[str]:
    return set(modalities[name].modality_keys) if name in modalities else set()


def _offsets(modalities: Mapping[str, ModalityConfig], name: str) -> tuple[int, ...]:
    return modalities[name].delta_indices if name in modalities else NOW


def _differs(
    policy: PolicySpec,
    server: str,
    what: str,
    ours: set[str] | tuple[int, ...],
    theirs: set[str] | tuple[int, ...],
) -> ConfigError:
    return ConfigError(
        f"{what} differ: {policy.source} has {_listed(ours)}, the server at {server} has"
        f" {_listed(theirs)}"
    )


def _listed(items: set[str] | tuple[int, ...]) -> str:
    texts = [str(item) for item in (sorted(items) if isinstance(items, set) else items)]
    if len(texts) > 5:
        texts = [*texts[:3], "...", f"{texts[-1]} ({len(texts)} of them)"]
    return ", ".join(texts) or "none"


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WireFormatError(f"{where}: as_json is not JSON: {error}") from error
