# SPDX-License-Identifier: Apache-2.0
"""The three msgpack wires of GR00T, and how an observation is arranged in them. Immutable values.

A fourth wire, T, pickles with torch. It is recognised (see ``codec``) and never read.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Gr00tWire(Enum):
    """A generation of GR00T's wire.

    Attributes:
        A5: N1.5 from 2025-09-11 to its release: arrays as .npy files, the observation itself as
            the data of ``get_action``, the action map itself as its reply.
        A6: N1.6 and the N1.7 release tag: arrays as in A5; observation and options as data, action
            and info as reply.
        B: N1.7 since 2026-05-07: as A6, with arrays as msgpack_numpy maps.
    """

    A5 = "A5"
    A6 = "A6"
    B = "B"

    @property
    def has_npy_arrays(self) -> bool:
        """Whether arrays travel as .npy files (else as msgpack_numpy maps)."""
        return self is not Gr00tWire.B


class Layout(Enum):
    """How an observation's keys are arranged.

    Attributes:
        NESTED: ``{"video": {key: ...}, "state": {...}, "language": {...}}``.
        FLAT: ``{"video.key": ..., "state.key": ..., "instruction key": ...}``: wire A5, and newer
            servers that run their simulation wrapper.
    """

    NESTED = "nested"
    FLAT = "flat"


@dataclass(frozen=True, slots=True)
class Arrangement:
    """How an observation is sent, and therefore how its answer comes back.

    Attributes:
        wire: The wire of both.
        layout: The keys of both.
        batched: Whether arrays have the batch axis B. Always true but in wire A5.
    """

    wire: Gr00tWire
    layout: Layout
    batched: bool = True
