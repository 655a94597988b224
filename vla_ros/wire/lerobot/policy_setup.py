# SPDX-License-Identifier: Apache-2.0
"""What a client asks LeRobot's policy server to load. Pure; any thread may call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vla_ros.core.errors import WireFormatError
from vla_ros.wire.lerobot.timed_data import HELPERS
from vla_ros.wire.limits import DEFAULT_MAX_BYTES
from vla_ros.wire.pickle.machine import Allowed
from vla_ros.wire.pickle.reader import Record, read_pickle
from vla_ros.wire.pickle.writer import Global, Instance, write_pickle
from vla_ros.wire.shown import shown

_POLICY_CONFIG = Global(HELPERS, "RemotePolicyConfig")
_ALLOWED: Allowed = {_POLICY_CONFIG: Record}


@dataclass(frozen=True, slots=True)
class PolicySetup:
    """A policy, and what it will be shown.

    Attributes:
        policy_type: LeRobot's name of the policy's kind, such as ``act``.
        checkpoint: A folder of the server, or a name on the hub.
        features: What every observation will hold; see ``features``.
        actions_per_chunk: How many actions at most are wanted at a time.
        device: Torch's name of the device that the policy runs on.
        rename_map: The policy's names for the features. The server uses it too late to rename a
            camera.
    """

    policy_type: str
    checkpoint: str
    features: Mapping[str, Any]
    actions_per_chunk: int
    device: str = "cpu"
    rename_map: Mapping[str, str] = field(default_factory=dict)


def encode_policy_setup(setup: PolicySetup) -> bytes:
    """The data of ``SEND_POLICY_INSTRUCTIONS``, to be wrapped by ``protobuf.encode_data``.

    Raises:
        WireFormatError: It holds what cannot be sent.
    """
    return write_pickle(
        Instance(
            _POLICY_CONFIG,
            {
                "policy_type": setup.policy_type,
                "pretrained_name_or_path": setup.checkpoint,
                "lerobot_features": setup.features,
                "actions_per_chunk": setup.actions_per_chunk,
                "device": setup.device,
                "rename_map": setup.rename_map,
            },
        )
    )


def decode_policy_setup(data: bytes, *, max_bytes: int = DEFAULT_MAX_BYTES) -> PolicySetup:
    """The setup in the data of ``SEND_POLICY_INSTRUCTIONS``. The features are left to their reader.

    Raises:
        WireFormatError: It is no setup, or longer than allowed.
    """
    value = read_pickle(data, _ALLOWED, max_bytes=max_bytes)
    match value:
        case Record(
            fields={
                "policy_type": str(policy_type),
                "pretrained_name_or_path": str(checkpoint),
                "lerobot_features": dict(features),
                "actions_per_chunk": int(actions_per_chunk),
                "device": str(device),
                "rename_map": dict(rename_map),
            }
        ) if actions_per_chunk > 0 and all(type(name) is str for name in rename_map.values()):
            return PolicySetup(
                policy_type, checkpoint, features, actions_per_chunk, device, rename_map
            )
    raise WireFormatError(
        f"a policy's setup must be a {_POLICY_CONFIG.name} of texts, features, actions_per_chunk of"
        f" 1 or more and a rename_map of texts; found {shown(getattr(value, 'fields', value))}"
    )
