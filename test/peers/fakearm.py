# SPDX-License-Identifier: Apache-2.0
"""A fake arm of LeRobot's, which finds the class by this file's name and that of the config."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from lerobot.robots.config import RobotConfig
from lerobot.robots.robot import Robot

from test.support.lerobot_arm import CAMERAS, VALUES


@RobotConfig.register_subclass("fakearm")
@dataclass
class FakeArmConfig(RobotConfig):
    """Which images it shows."""

    height: int = 48
    width: int = 64


class FakeArm(Robot):
    """Swings whatever it is told, and keeps what it was told."""

    config_class = FakeArmConfig
    name = "fakearm"
    is_connected = True
    is_calibrated = True

    def __init__(self, config: FakeArmConfig) -> None:
        super().__init__(config)
        self.told: list[dict[str, float]] = []
        self._image = (config.height, config.width, 3)
        noise = np.random.default_rng(0)
        self._images = [noise.integers(0, 256, self._image, np.uint8) for _ in CAMERAS]

    @cached_property
    def observation_features(self) -> dict[str, Any]:
        return {**self.action_features, **dict.fromkeys(CAMERAS, self._image)}

    @cached_property
    def action_features(self) -> dict[str, type]:
        return dict.fromkeys(VALUES, float)

    def get_observation(self) -> dict[str, Any]:
        now_s = time.monotonic()
        values = {name: 20.0 * math.sin(now_s + index) for index, name in enumerate(VALUES)}
        return {**values, **dict(zip(CAMERAS, self._images, strict=True))}

    def send_action(self, action: dict[str, Any]) -> dict[str, Any]:
        self.told.append(action)
        return action

    def connect(self, calibrate: bool = True) -> None: ...

    def calibrate(self) -> None: ...

    def configure(self) -> None: ...

    def disconnect(self) -> None: ...
