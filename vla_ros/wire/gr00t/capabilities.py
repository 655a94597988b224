# SPDX-License-Identifier: Apache-2.0
"""What a server of this package can do beyond GR00T's wires: the reply of ``get_capabilities``.

No other server is asked. That a server is one of ours it says with a mark beside the configs in its
reply of ``get_modality_config``, over which GR00T's own clients pass. Pure; any thread may call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vla_ros.core.errors import WireFormatError
from vla_ros.wire.shown import shown

_MARK = "vla_ros"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a server can do.

    Attributes:
        jpeg: It takes images as JPEG files; see ``jpeg``.
        multipart: It takes requests in several parts; see ``codec``.
        ipc: Where it can be reached by programs of its own machine and user; empty: nowhere.
    """

    jpeg: bool = False
    multipart: bool = False
    ipc: str = ""


def marked(modality: Mapping[str, Any]) -> dict[str, Any]:
    """The reply of ``get_modality_config`` as a tree, marked as one of ours."""
    return {name: {**config, _MARK: True} for name, config in modality.items()}


def is_marked(modality: Any) -> bool:
    """Whether the reply of ``get_modality_config`` is one of ours, whatever it is."""
    return isinstance(modality, Mapping) and any(
        isinstance(config, Mapping) and config.get(_MARK) is True for config in modality.values()
    )


def encode_capabilities(capabilities: Capabilities) -> dict[str, Any]:
    """The reply of ``get_capabilities`` as a tree."""
    encodings = ["raw", "jpeg"] if capabilities.jpeg else ["raw"]
    return {
        "image_encodings": encodings,
        "multipart": capabilities.multipart,
        "ipc": capabilities.ipc or None,
    }


def decode_capabilities(tree: Any) -> Capabilities:
    """What a server can do. What it does not say it cannot; keys that are not known are ignored.

    Raises:
        WireFormatError: A key that is known has another type.
    """
    if not isinstance(tree, Mapping):
        raise WireFormatError(f"capabilities must be a map; found {shown(tree)}")
    encodings, multipart, ipc = (tree.get(key) for key in ("image_encodings", "multipart", "ipc"))
    if not isinstance(encodings, list | None):
        raise WireFormatError(f"image_encodings must be a list; found {shown(encodings)}")
    if not isinstance(multipart, bool | None):
        raise WireFormatError(f"multipart must be true or false; found {shown(multipart)}")
    if not isinstance(ipc, str | None):
        raise WireFormatError(f"ipc must be a string or nil; found {shown(ipc)}")
    return Capabilities("jpeg" in (encodings or ()), multipart or False, ipc or "")
