# SPDX-License-Identifier: Apache-2.0
"""What happened in one episode: series of stamped samples, and facts about the whole.

It is written by whoever watched the episode, over ROS or in a simulation without it, and read by
reports and pictures. Stamps are integer nanoseconds of the ROS clock. One thread. Arrays only:
``to_arrays`` and ``from_arrays`` are for ``numpy.savez``.

The series, each of them optional; D: the robot's commanded interfaces, in its order:

=====================  ==========================================================================
``command``            (D) What was commanded, when it was sent [rad, m].
``measured.<stream>``  (D of the stream) What was measured [rad, m].
``queue``              Steps left, seconds left, whether the executor held: 0 or 1.
``threshold``          At how many steps left the executor asks for an observation.
``hold.<reason>``      The executor held for this reason in a time that ends at the stamp: how
                       long that time is [s], in how many ticks of it.
``request``            An observation was asked for: the request's id.
``failure.<reason>``   A request came to nothing: the request's id.
``dropped.<kind>``     Chunks were dropped: how many.
``chunk``              At the observation's stamp: when its chunk was requested, sent, received,
                       joined, and first commanded, in seconds after the stamp; NaN: not known.
``blend``              At a chunk's first command: how long its joining takes [s].
``tick_error_ms``      How late a tick ran [ms].
=====================  ==========================================================================

Of the facts, reports use ``begun_ns``, ``duration_s``, ``seed``, ``instruction``, ``success`` and
``counters``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_ros.core.errors import ConfigError

_FACTS = "facts"
_STAMPS = "_ns"


@dataclass(slots=True)
class EpisodeLog:
    """The log of one episode.

    >>> log = EpisodeLog()
    >>> log.add("command", 5, [0.1, 0.2])
    >>> log.stamps("command"), log.values("command")
    (array([5]), array([[0.1, 0.2]]))

    Attributes:
        facts: What is true of the whole episode: plain JSON values.
    """

    facts: dict[str, Any] = field(default_factory=dict)
    _stamps: dict[str, list[int]] = field(default_factory=dict)
    _values: dict[str, list[NDArray[np.float64]]] = field(default_factory=dict)

    def add(self, series: str, stamp_ns: int, values: Any) -> None:
        """Take a sample of a series; every sample of it has as many values."""
        self._stamps.setdefault(series, []).append(stamp_ns)
        self._values.setdefault(series, []).append(np.array(values, dtype=np.float64).ravel())

    def kinds(self, family: str) -> tuple[str, ...]:
        """The last parts of the names of a family of series, such as the reasons of ``hold``.

        >>> log = EpisodeLog()
        >>> log.add("hold.starved", 5, [0.05, 2])
        >>> log.kinds("hold")
        ('starved',)
        """
        prefix = family + "."
        return tuple(name.removeprefix(prefix) for name in self._stamps if name.startswith(prefix))

    def stamps(self, series: str) -> NDArray[np.int64]:
        """(N,) When a series was sampled; empty where it never was."""
        return np.array(self._stamps.get(series, []), dtype=np.int64)

    def values(self, series: str) -> NDArray[np.float64]:
        """(N, D) The samples of a series; (0, 0) where there are none."""
        samples = self._values.get(series)
        return np.stack(samples) if samples else np.zeros((0, 0))

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """The whole log as named arrays."""
        arrays: dict[str, NDArray[Any]] = {_FACTS: np.array(json.dumps(self.facts))}
        for series in self._stamps:
            arrays[series + _STAMPS] = self.stamps(series)
            arrays[series] = self.values(series)
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> EpisodeLog:
        """The log behind named arrays.

        Raises:
            ConfigError: The arrays are not those of a log.
        """
        if _FACTS not in arrays:
            raise ConfigError(f"not an episode's log: it has no {_FACTS!r}")
        log = cls(facts=json.loads(str(arrays[_FACTS])))
        for name in arrays:
            if name == _FACTS or name.endswith(_STAMPS):
                continue
            stamps = arrays.get(name + _STAMPS)
            if stamps is None or len(stamps) != len(arrays[name]):
                raise ConfigError(f"not an episode's log: series {name!r} has no stamps of its own")
            for stamp, values in zip(stamps, arrays[name], strict=True):
                log.add(name, int(stamp), values)
        return log
