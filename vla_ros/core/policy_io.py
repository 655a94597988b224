# SPDX-License-Identifier: Apache-2.0
"""Between core values and a policy's own keys and units, in both directions.

A wire carries a ``PolicyInput`` one way and a mapping of action key to array the other way. The
client's side is ``policy_input`` and ``actions_from``; the server's side, which is their inverse,
is ``observation_from`` and ``actions_by_key``. Pure; any thread may call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.errors import ActionError, ConfigError, VlaRosError
from vla_ros.core.observation import Observation, ObservationRequest, require_image
from vla_ros.core.past_frames import NOW, frame_names
from vla_ros.core.policy_spec import KeyMap, PolicySpec

Number = TypeVar("Number", np.float32, np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class PolicyInput:
    """An observation in the policy's own keys and units.

    Attributes:
        video: Video key to (H, W, 3) uint8 RGB; of a policy that looks at T > 1 moments, to
            (T, H, W, 3), the oldest first.
        state: State key to (D,) float64.
        language: Instruction key to the instruction.
    """

    video: Mapping[str, NDArray[np.uint8]]
    state: Mapping[str, NDArray[np.float64]]
    language: Mapping[str, str]

    @property
    def state_vector(self) -> NDArray[np.float64]:
        """(D,) The state of all keys, key after key."""
        return np.concatenate([*self.state.values(), np.zeros(0)])


def policy_input(policy: PolicySpec, observation: Observation) -> PolicyInput:
    """An observation in the policy's keys and units.

    Raises:
        ConfigError: The observation lacks a camera or interface that the policy needs.
    """
    return PolicyInput(
        video={key: _shown(policy, camera, observation) for key, camera in policy.video.items()},
        state={
            key: mapping.to_policy(observation.select(mapping.interfaces))
            for key, mapping in policy.state.items()
        },
        language={policy.instruction_key: observation.instruction},
    )


def observation_from(
    policy: PolicySpec,
    given: PolicyInput,
    *,
    stamp_ns: int,
    request: ObservationRequest | None = None,
) -> Observation:
    """The observation behind what a client sent: the inverse of ``policy_input``.

    Keys that the policy does not know are ignored, as NVIDIA's server does.

    Raises:
        ConfigError: A key is missing, its array has the wrong shape or type, or the state holds NaN
            or inf; the text names the key, or the interface that is not finite.
    """
    _require("video", policy.video, given.video)
    _require("state", policy.state, given.state)
    _require("language", {policy.instruction_key: None}, given.language)
    images: dict[str, NDArray[np.uint8]] = {}
    for key, camera in policy.video.items():
        images.update(_frames(policy, key, camera, given.video[key]))
    state = []
    for key, mapping in policy.state.items():
        values = given.state[key]
        _require_numbers(f"state key {key!r}", values, (), mapping, ConfigError)
        state.append(mapping.from_policy(values))
    return Observation(
        stamp_ns=stamp_ns,
        instruction=given.language[policy.instruction_key],
        images=images,
        state_names=policy.state_names,
        state=np.concatenate(state) if state else np.zeros(0),
        request=request,
    )


def actions_from(
    policy: PolicySpec, by_key: Mapping[str, NDArray[np.floating]]
) -> NDArray[np.float64]:
    """(H, D) Actions in core units and ``policy.action_names`` order, from a policy's answer.

    Args:
        policy: What is expected.
        by_key: Action key to (H, D) array; keys that the policy does not name are ignored.

    Raises:
        ActionError: A key is missing, or its array is not (H, D) numbers for this policy. NaN and
            inf pass: ``ActionChunk`` refuses them, and knows the interface.
    """
    columns = []
    for key, mapping in policy.action.items():
        if key not in by_key:
            raise ActionError(
                f"action key {key!r} is missing; the answer has {', '.join(by_key) or 'none'}"
            )
        values = by_key[key]
        what = f"action key {key!r} of {policy.source}"
        _require_numbers(what, values, (policy.horizon,), mapping, ActionError)
        columns.append(mapping.from_policy(values.astype(np.float64)))
    return np.concatenate(columns, axis=1)


def actions_by_key(policy: PolicySpec, chunk: ActionChunk) -> dict[str, NDArray[np.float64]]:
    """Action key to (H, D) in the policy's units: the inverse of ``actions_from``.

    Raises:
        ActionError: The chunk lacks an interface that the policy's keys name.
    """
    missing = [name for name in policy.action_names if name not in chunk.names]
    if missing:
        raise ActionError(
            f"the chunk does not command {', '.join(missing)}; it has {', '.join(chunk.names)}"
        )
    return {
        key: mapping.to_policy(
            chunk.actions[:, [chunk.names.index(name) for name in mapping.interfaces]]
        )
        for key, mapping in policy.action.items()
    }


def action_columns(policy: PolicySpec, chunk: ActionChunk) -> NDArray[np.float64]:
    """(H, D) A chunk in the policy's units, key after key.

    Raises:
        ActionError: The chunk lacks an interface that the policy's keys name.
    """
    return np.concatenate(list(actions_by_key(policy, chunk).values()), axis=1)


def split_columns(
    keys: Mapping[str, KeyMap], values: NDArray[Number]
) -> dict[str, NDArray[Number]]:
    """Key to its (..., d) columns of a vector that has all keys, key after key.

    Args:
        keys: The policy's keys of the state, or of the action.
        values: (..., D) In the policy's units. Columns too many are the last key's, where whoever
            checks its shape finds them.
    """
    ends = np.cumsum([len(mapping.interfaces) for mapping in keys.values()], dtype=np.intp)
    # Without keys there is one part all the same.
    return dict(zip(keys, np.split(values, ends[:-1], axis=-1), strict=False))


def _shown(policy: PolicySpec, camera: str, observation: Observation) -> NDArray[np.uint8]:
    """(H, W, 3), or (T, H, W, 3) where the policy looks at several moments."""
    names = frame_names(camera, policy.video_deltas)
    missing = [name for name in names if name not in observation.images]
    if missing:
        there = ", ".join(observation.images) or "none"
        hint = "; whoever observes must know the policy" if camera not in missing else ""
        raise ConfigError(
            f"camera {', '.join(missing)} is not in the observation, which has {there}{hint}"
        )
    frames = [observation.images[name] for name in names]
    return frames[0] if policy.video_deltas == NOW else np.stack(frames)


def _frames(
    policy: PolicySpec, key: str, camera: str, shown: NDArray[np.uint8]
) -> dict[str, NDArray[np.uint8]]:
    """What ``_shown`` was made of."""
    names = frame_names(camera, policy.video_deltas)
    frames: Sequence[NDArray[np.uint8]] = [shown]
    if policy.video_deltas != NOW:
        if shown.ndim == 0 or len(shown) != len(names):
            raise ConfigError(
                f"video key {key!r} must have {len(names)} frames, for the moments"
                f" {list(policy.video_deltas)}; found {shown.shape}"
            )
        frames = list(shown)
    for frame in frames:
        require_image(f"video key {key!r}", frame)
    return dict(zip(names, frames, strict=True))


def _require(kind: str, expected: Mapping[str, object], given: Mapping[str, object]) -> None:
    missing = [key for key in expected if key not in given]
    if missing:
        raise ConfigError(
            f"{kind} key {missing[0]!r} is missing from the observation, which has"
            f" {', '.join(given) or 'none'}"
        )


def _require_numbers(
    what: str,
    values: NDArray[np.floating],
    leading: tuple[int, ...],
    mapping: KeyMap,
    error: type[VlaRosError],
) -> None:
    expected = (*leading, len(mapping.interfaces))
    if values.shape != expected or values.dtype.kind not in "iuf":
        raise error(
            f"{what} must be {expected} numbers for {', '.join(mapping.interfaces)};"
            f" found {values.shape} {values.dtype}"
        )
