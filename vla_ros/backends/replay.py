# SPDX-License-Identifier: Apache-2.0
"""A policy that returns the next recorded actions of an episode.

The first observation after a reset is matched to the recorded row with the nearest state; from then
on the observations' stamps tell the row. One thread.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_ros.backends.base import PolicyBackend, PolicyInfo
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.errors import BackendUnavailable, ConfigError
from vla_ros.core.observation import Observation, Prefix
from vla_ros.core.params import REQUIRED, param
from vla_ros.core.policy_spec import KeyMap, PolicySpec

_RATE_TOLERANCE = 0.01


@dataclass(frozen=True, slots=True)
class ReplayConfig:
    """What is replayed."""

    recording: str = param(
        REQUIRED,
        "An .npz file with state (N, D) and action (N, D), in the policy's units and order of keys,"
        " and timestamp_s (N,).",
    )


@dataclass(frozen=True, slots=True)
class Recording:
    """An episode.

    Attributes:
        state: (N, D) In core units and ``policy.state_names`` order.
        action: (N, D) In core units and ``policy.action_names`` order.
        step_ns: Time from one row to the next.
    """

    state: NDArray[np.float64]
    action: NDArray[np.float64]
    step_ns: float


def load_recording(path: Path, policy: PolicySpec) -> Recording:
    """Read an episode.

    Args:
        path: An ``.npz`` file; see ``ReplayConfig``.
        policy: Its keys, in order, name the columns.

    Raises:
        ConfigError: The file cannot be read, or does not hold what the policy describes.
    """
    arrays = _read(path)
    stamps = _array(path, arrays, "timestamp_s", 1)
    state = _columns(path, arrays, "state", policy.state, len(stamps))
    action = _columns(path, arrays, "action", policy.action, len(stamps))
    if len(stamps) < 2 or not (np.diff(stamps) > 0).all():
        raise ConfigError(f"{path}: timestamp_s must hold at least 2 stamps, each after the last")
    step_ns = (stamps[-1] - stamps[0]) / (len(stamps) - 1) * 1e9
    if abs(step_ns / policy.step_ns - 1) > _RATE_TOLERANCE:
        raise ConfigError(
            f"{path}: recorded at {1e9 / step_ns:.2f} Hz, but {policy.source} has rate_hz"
            f" {policy.rate_hz:g}"
        )
    return Recording(state, action, float(step_ns))


def _read(path: Path) -> dict[str, NDArray[Any]]:
    try:
        if not zipfile.is_zipfile(path):
            raise ConfigError(f"{path}: is no .npz file, or does not exist")
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error


def _columns(
    path: Path,
    arrays: Mapping[str, NDArray[Any]],
    name: str,
    keys: Mapping[str, KeyMap],
    rows: int,
) -> NDArray[np.float64]:
    """(N, D) One array in core units."""
    values = _array(path, arrays, name, 2)
    expected = (rows, sum(len(key.interfaces) for key in keys.values()))
    if values.shape != expected:
        raise ConfigError(
            f"{path}: {name} has shape {values.shape}, expected {expected} for the keys"
            f" {', '.join(keys) or 'none'}"
        )
    columns, start = [np.zeros((rows, 0))], 0
    for key in keys.values():
        columns.append(key.from_policy(values[:, start : start + len(key.interfaces)]))
        start += len(key.interfaces)
    return np.concatenate(columns, axis=1)


def _array(
    path: Path, arrays: Mapping[str, NDArray[Any]], name: str, dimensions: int
) -> NDArray[np.float64]:
    values = arrays.get(name)
    if values is None:
        raise ConfigError(f"{path}: {name} is missing; it has {', '.join(arrays) or 'nothing'}")
    if values.ndim != dimensions or values.dtype.kind != "f" or not np.isfinite(values).all():
        raise ConfigError(
            f"{path}: {name} must be {dimensions}-dimensional finite floats, found"
            f" {values.shape} {values.dtype}"
        )
    return values.astype(np.float64)


class Backend(PolicyBackend):
    """Replays an episode."""

    Config = ReplayConfig
    per_client = True

    def __init__(self, config: ReplayConfig, **facts: Any) -> None:
        """Keep the facts; see ``PolicyBackend``."""
        super().__init__(config, **facts)
        self._path = Path(config.recording)
        self._recording: Recording | None = None
        self._first: tuple[int, int] | None = None

    def connect(self) -> PolicyInfo:
        """Read the recording.

        Raises:
            ConfigError: It cannot be read, or does not hold what the policy describes.
        """
        self._recording = load_recording(self._path, self.policy)
        self.reset()
        return PolicyInfo(description=f"replay of {self._path}, {len(self._recording.action)} rows")

    def infer(self, observation: Observation, prefix: Prefix | None = None) -> ActionChunk:
        """The actions recorded from the observation's row on; after the end, the last one.

        Raises:
            BackendUnavailable: ``connect`` has not been called.
            ConfigError: The observation lacks state that the recording has.
        """
        sent_ns = self.now_ns()
        if self._recording is None:
            raise BackendUnavailable("replay: no recording is loaded; call connect first")
        row = self._row(self._recording, observation)
        rows = np.arange(row, row + self.policy.horizon)
        actions = self._recording.action[np.clip(rows, 0, len(self._recording.action) - 1)]
        return self.chunk(observation, actions, sent_ns=sent_ns, received_ns=self.now_ns())

    def reset(self) -> None:
        """Match the next observation anew."""
        self._first = None

    def close(self) -> None:
        """Let go of the recording."""
        self._recording = None

    def _row(self, recording: Recording, observation: Observation) -> int:
        """Which row the observation is at; it may lie before the first or after the last."""
        if self._first is None:
            state = observation.select(self.policy.state_names)
            distance = np.linalg.norm(recording.state - state, axis=1)
            self._first = (int(np.argmin(distance)), observation.stamp_ns)
        first_row, first_ns = self._first
        return first_row + round((observation.stamp_ns - first_ns) / recording.step_ns)
