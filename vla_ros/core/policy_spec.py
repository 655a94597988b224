# SPDX-License-Identifier: Apache-2.0
"""A checkpoint: what `config/policies/<policy>.yaml` says of it.

Which camera and which interfaces stand behind the policy's own keys, in which units, and how many
actions at which step it returns. Immutable; any thread may read it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vla_ros.core.errors import ConfigError
from vla_ros.core.image_size import Resize, read_resize
from vla_ros.core.lerobot_spec import LeRobotSpec, read_lerobot
from vla_ros.core.lerobot_units import LEROBOT_UNITS, read_lerobot_unit
from vla_ros.core.model_spec import ModelSpec, read_model
from vla_ros.core.past_frames import NOW, PastFrame, past_frames, read_delta_indices
from vla_ros.core.robot_spec import RobotSpec
from vla_ros.core.section import Section, repeated
from vla_ros.core.yaml_file import load

# Policy units per radian; `affine` reads scale and offset from the file instead, and LeRobot's
# units have a module of their own.
_UNIT_SCALE = {"rad": 1.0, "degree": 180.0 / math.pi}


@dataclass(frozen=True, slots=True, eq=False)
class KeyMap:
    """One vector key of a policy and the interfaces behind it.

    The map is affine per interface: ``policy value = scale * core value + offset``.

    Attributes:
        interfaces: (D,) Interfaces, in the key's order.
        scale: (D,) float64, never zero.
        offset: (D,) float64, in the policy's units.
    """

    interfaces: tuple[str, ...]
    scale: NDArray[np.float64]
    offset: NDArray[np.float64]

    def to_policy(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(..., D) Core values in the policy's units."""
        return values * self.scale + self.offset

    def from_policy(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(..., D) Policy values in radians and metres."""
        return (values - self.offset) / self.scale


@dataclass(frozen=True, slots=True, eq=False)
class PolicySpec:
    """A checkpoint, whole.

    Attributes:
        name: The policy's name.
        source: The file it was read from.
        backend: How it is reached, a module of ``vla_ros.backends``.
        rate_hz: Actions per second of a chunk.
        horizon: H, actions in a chunk.
        instruction_key: The policy's key of the instruction.
        video: The policy's video key to the camera's name.
        state: The policy's state key to interfaces and units.
        action: The policy's action key to interfaces and units.
        resizes: The policy's video key to the size that images are given before they are sent to a
            server; those of other keys stay as the camera gives them.
        video_deltas: (T,) The moments that every video key looks at, in steps of ``step_ns``,
            rising; the last is 0, now.
        lerobot: What LeRobot has to be told; None: the policy is none of LeRobot's.
        model: Which input of the model's file is what; None: the policy is no such file.
    """

    name: str
    source: str
    backend: str
    rate_hz: float
    horizon: int
    instruction_key: str
    video: Mapping[str, str]
    state: Mapping[str, KeyMap]
    action: Mapping[str, KeyMap]
    video_deltas: tuple[int, ...] = NOW
    resizes: Mapping[str, Resize] = field(default_factory=dict)
    lerobot: LeRobotSpec | None = None
    model: ModelSpec | None = None

    @property
    def step_ns(self) -> int:
        """Time from one action to the next [ns]."""
        return round(1e9 / self.rate_hz)

    @property
    def action_names(self) -> tuple[str, ...]:
        """(D,) All interfaces that a chunk commands, key after key."""
        return tuple(name for key in self.action.values() for name in key.interfaces)

    @property
    def state_names(self) -> tuple[str, ...]:
        """(D,) All interfaces that the policy is shown, key after key."""
        return tuple(name for key in self.state.values() for name in key.interfaces)

    @property
    def past_frames(self) -> Mapping[str, PastFrame]:
        """The frames that the policy looks at beside the newest ones, by name."""
        return past_frames(self.video.values(), self.video_deltas, self.step_ns)

    def lerobot_for(self, who_needs: str) -> LeRobotSpec:
        """What LeRobot has to be told.

        Args:
            who_needs: Who needs it, for the error: a subject and its verb.

        Raises:
            ConfigError: The description does not say it.
        """
        if self.lerobot is None:
            raise ConfigError(f"{self.source}: {who_needs} the section lerobot")
        return self.lerobot

    def model_for(self, who_needs: str) -> ModelSpec:
        """Which input of the model's file is what.

        Args:
            who_needs: Who needs it, for the error: a subject and its verb.

        Raises:
            ConfigError: The description does not say it.
        """
        if self.model is None:
            raise ConfigError(f"{self.source}: {who_needs} the section model")
        return self.model

    def check_against(self, robot: RobotSpec) -> None:
        """Refuse a policy that does not fit a robot.

        Raises:
            ConfigError: It needs a camera or interface that the robot does not have.
        """
        self._require("video: camera", self.video.values(), tuple(robot.cameras), robot)
        self._require("state: interface", self.state_names, robot.state_names, robot)
        self._require("action: interface", self.action_names, robot.command_names, robot)

    def _require(
        self, what: str, names: Iterable[str], known: tuple[str, ...], robot: RobotSpec
    ) -> None:
        unknown = [name for name in names if name not in known]
        if unknown:
            raise ConfigError(
                f"{self.source}: {what} {', '.join(unknown)} is not in robot {robot.name}"
                f" ({robot.source}), which has {', '.join(known) or 'none'}"
            )


def load_policy_spec(path: Path) -> PolicySpec:
    """Read a policy's description.

    Args:
        path: A file such as ``config/policies/so101_gr00t.yaml``.

    Raises:
        ConfigError: The file is missing, malformed, incomplete or contradicts itself.
    """
    return policy_spec_from(load(path))


def policy_spec_from(root: Section) -> PolicySpec:
    """Read a policy's description from a parsed file.

    Raises:
        ConfigError: The description is malformed, incomplete or contradicts itself.
    """
    video = root.entries("video", _video_key)
    state, action = root.entries("state", _key_map), root.entries("action", _key_map)
    deltas = _common_deltas(root, {key: deltas for key, (_, deltas, _) in video.items()})
    spec = PolicySpec(
        name=root.text("name"),
        source=root.source,
        backend=root.text("backend"),
        rate_hz=root.number("rate_hz", minimum=0.1, maximum=1000.0),
        horizon=root.integer("horizon", minimum=1, maximum=1024),
        instruction_key=root.text("instruction_key"),
        video={key: camera for key, (camera, _, _) in video.items()},
        state=state,
        action=action,
        video_deltas=deltas,
        resizes={key: resize for key, (_, _, resize) in video.items() if resize is not None},
        lerobot=root.entry("lerobot", read_lerobot) if root.has("lerobot") else None,
        model=_model(root, tuple(video), state, action, len(deltas)),
    )
    root.finish()
    if not spec.action:
        raise root.error("must hold at least one entry, found none", "action")
    for name in repeated(spec.action_names):
        raise root.error(f"{name} stands in more than one entry; one is allowed", "action")
    if spec.lerobot is not None:
        if spec.video_deltas != NOW:
            raise root.error("delta_indices cannot stand with lerobot, which has them", "video")
        for key, names, values in (
            ("state", spec.lerobot.state, spec.state_names),
            ("action", spec.lerobot.action, spec.action_names),
        ):
            if len(names) != len(values):
                raise root.error(
                    f"names {len(names)} values of the {key}, which has {len(values)}:"
                    f" {', '.join(values)}",
                    f"lerobot.{key}",
                )
    return spec


def _video_key(section: Section) -> tuple[str, tuple[int, ...], Resize | None]:
    return section.text("camera"), read_delta_indices(section), read_resize(section)


def _model(
    root: Section,
    video: tuple[str, ...],
    state: Mapping[str, KeyMap],
    action: Mapping[str, KeyMap],
    moments: int,
) -> ModelSpec | None:
    if not root.has("model"):
        return None
    sizes = {key: len(mapping.interfaces) for key, mapping in state.items()}
    actions = sum(len(mapping.interfaces) for mapping in action.values())
    return root.entry(
        "model",
        lambda section: read_model(
            section, video=video, state=sizes, actions=actions, moments=moments
        ),
    )


def _common_deltas(root: Section, by_key: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    """GR00T has one list for all of its video keys."""
    if len(set(by_key.values())) > 1:
        found = "; ".join(f"{key}: {list(deltas)}" for key, deltas in by_key.items())
        raise root.error(f"delta_indices must be the same for all keys, found {found}", "video")
    return next(iter(by_key.values()), NOW)


def _key_map(section: Section) -> KeyMap:
    interfaces = section.texts("interfaces")
    unit = section.choice("unit", *_UNIT_SCALE, "affine", *LEROBOT_UNITS)
    if unit == "affine":
        scale = np.array(section.scales("scale", length=len(interfaces)))
        offset = np.array(section.numbers("offset", length=len(interfaces)))
    elif unit in LEROBOT_UNITS:
        scale, offset = read_lerobot_unit(section, unit, interfaces)
    else:
        for key in ("scale", "offset"):
            if section.has(key):
                raise section.error(f"may stand with unit affine only, found unit {unit}", key)
        scale = np.full(len(interfaces), _UNIT_SCALE[unit])
        offset = np.zeros(len(interfaces))
    return KeyMap(interfaces, scale, offset)
