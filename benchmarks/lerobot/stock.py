# SPDX-License-Identifier: Apache-2.0
"""LeRobot's side, all of it the real thing: a checkpoint, its PolicyServer, its RobotClient.

Runs in the peer environment: ``python -m benchmarks.lerobot.stock checkpoint|server|client ...``.
The arm is a fake one that takes commands and gives images; what it is told is written down.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.lerobot.facts import (
    CAMERAS,
    CHUNK,
    HEIGHT,
    JOINTS,
    LATENCY_S,
    RATE_HZ,
    SEEN_HEIGHT,
    SEEN_WIDTH,
    WIDTH,
    swing_deg,
)
from lerobot.async_inference import policy_server, robot_client
from lerobot.async_inference.configs import PolicyServerConfig, RobotClientConfig
from lerobot.configs.types import FeatureType, PolicyFeature
from lerobot.policies.act.configuration_act import ACTConfig
from lerobot.policies.act.modeling_act import ACTPolicy
from lerobot.policies.factory import make_pre_post_processors
from lerobot.robots.robot import Robot
from lerobot.robots.so_follower.config_so_follower import SOFollowerRobotConfig


class FakeArm(Robot):
    """Takes what it is told, and shows noise."""

    config_class = SOFollowerRobotConfig
    name = "fake_arm"

    def __init__(self, config: SOFollowerRobotConfig) -> None:
        super().__init__(config)
        self.told: list[float] = []
        self._images = [
            np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
            for seed, _ in enumerate(CAMERAS)
        ]

    @cached_property
    def observation_features(self) -> dict[str, Any]:
        return {**self.action_features, **dict.fromkeys(CAMERAS, (HEIGHT, WIDTH, 3))}

    @cached_property
    def action_features(self) -> dict[str, type]:
        return {f"{joint}.pos": float for joint in JOINTS}

    is_connected = True
    is_calibrated = True

    def connect(self, calibrate: bool = True) -> None: ...  # noqa: FBT001, FBT002

    def calibrate(self) -> None: ...

    def configure(self) -> None: ...

    def disconnect(self) -> None: ...

    def get_observation(self) -> dict[str, Any]:
        return {
            **{f"{joint}.pos": swing_deg(time.time()) for joint in JOINTS},
            **{name: image.copy() for name, image in zip(CAMERAS, self._images, strict=True)},
        }

    def send_action(self, action: dict[str, Any]) -> dict[str, Any]:
        self.told.append(time.perf_counter())
        return action


def checkpoint(folder: str) -> None:
    """Make a small ACT policy with random weights."""
    torch.manual_seed(0)
    images = {
        f"observation.images.{name}": PolicyFeature(
            FeatureType.VISUAL, (3, SEEN_HEIGHT, SEEN_WIDTH)
        )
        for name in CAMERAS
    }
    vector = (len(JOINTS),)
    config = ACTConfig(
        input_features={"observation.state": PolicyFeature(FeatureType.STATE, vector), **images},
        output_features={"action": PolicyFeature(FeatureType.ACTION, vector)},
        chunk_size=CHUNK,
        n_action_steps=CHUNK,
        dim_model=64,
        n_heads=2,
        dim_feedforward=128,
        n_encoder_layers=1,
        use_vae=False,
        pretrained_backbone_weights=None,
        device="cpu",
    )
    moments = {"mean": torch.zeros(vector), "std": torch.ones(vector)}
    pixels = {"mean": torch.zeros(3, 1, 1), "std": torch.ones(3, 1, 1)}
    stats = {"observation.state": moments, "action": moments, **dict.fromkeys(images, pixels)}
    before, after = make_pre_post_processors(config, dataset_stats=stats)
    ACTPolicy(config).save_pretrained(folder)
    before.save_pretrained(folder)
    after.save_pretrained(folder)


def server(port: str) -> None:
    """Serve until the process is ended; a chunk takes as long as the model that is rehearsed."""
    torch.set_num_threads(1)
    policy_server.serve.__wrapped__(
        PolicyServerConfig(
            host="127.0.0.1", port=int(port), fps=round(RATE_HZ), inference_latency=LATENCY_S
        )
    )


def client(port: str, folder: str, duration_s: str, threshold: str, output: str) -> None:
    """Run the client for so long, and write what happened."""
    made: list[FakeArm] = []

    def make_arm(config: Any) -> FakeArm:
        made.append(FakeArm(config))
        return made[0]

    robot_client.make_robot_from_config = make_arm
    it = robot_client.RobotClient(
        RobotClientConfig(
            policy_type="act",
            pretrained_name_or_path=folder,
            robot=SOFollowerRobotConfig(port="none"),
            actions_per_chunk=CHUNK,
            task="stay",
            server_address=f"127.0.0.1:{port}",
            chunk_size_threshold=float(threshold),
            fps=round(RATE_HZ),
        )
    )
    log = _Log(it)
    if not it.start():
        raise SystemExit("the server cannot be reached")
    receiver = threading.Thread(target=it.receive_actions, daemon=True)
    receiver.start()
    threading.Timer(float(duration_s), it.shutdown_event.set).start()
    it.control_loop(task="stay")
    log.write(made[0], Path(output))
    it.stop()


class _Log:
    """Writes down what the client does, without changing it."""

    def __init__(self, it: Any) -> None:
        self.ticks: list[float] = []
        self.steps: list[int] = []
        self.starved: list[float] = []
        self.sent = self.chunks = 0
        available, act, send = it.actions_available, it.control_loop_action, it.send_observation
        join = it._aggregate_action_queues

        def actions_available() -> bool:
            self.ticks.append(time.perf_counter())
            found: bool = available()
            if not found and self.steps:
                self.starved.append(time.perf_counter())
            return found

        def control_loop_action(verbose: bool = False) -> Any:  # noqa: FBT001, FBT002
            done = act(verbose)
            self.steps.append(int(it.latest_action))
            return done

        def send_observation(observation: Any) -> bool:
            self.sent += 1
            return bool(send(observation))

        def aggregate(actions: Any, function: Any = None) -> None:
            self.chunks += 1
            join(actions, function)

        it.actions_available, it.control_loop_action = actions_available, control_loop_action
        it.send_observation, it._aggregate_action_queues = send_observation, aggregate

    def write(self, arm: FakeArm, output: Path) -> None:
        facts = {
            "ticks_s": self.ticks,
            "told_s": arm.told,
            "steps": self.steps,
            "starved": len(self.starved),
            "sent": self.sent,
            "chunks": self.chunks,
        }
        output.write_text(json.dumps(facts), "utf-8")


if __name__ == "__main__":
    {"checkpoint": checkpoint, "server": server, "client": client}[sys.argv[1]](*sys.argv[2:])
