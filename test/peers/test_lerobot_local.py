# SPDX-License-Identifier: Apache-2.0
"""Policies of LeRobot in our process, and behind our server; run by ``make test-peers``."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from test.support.lerobot_arm import (
    CAMERAS,
    HORIZON,
    NAMES,
    actions_of,
    chunk_of,
    observation,
    policy,
    policy_text,
    robot,
    robot_text,
)
from test.support.programs import policy_server
from vla_ros.backends.base import BatchItem
from vla_ros.backends.gr00t_zmq import Backend as Gr00tBackend
from vla_ros.backends.gr00t_zmq import Gr00tConfig
from vla_ros.backends.lerobot_local import Backend, LeRobotLocalConfig
from vla_ros.core.errors import ConfigError
from vla_ros.core.observation import Prefix

pytestmark = [pytest.mark.peer, pytest.mark.timeout(150)]
_REASON = "no lerobot here; make test-peers installs it"
torch = pytest.importorskip("torch", reason=_REASON)
lerobot_grpc = pytest.importorskip("vla_ros.backends.lerobot_grpc", reason=_REASON)
pipelines = pytest.importorskip("test.peers.lerobot_pipeline", reason=_REASON)
made = pytest.importorskip("test.peers.lerobot_checkpoints", reason=_REASON)

# Kind to how many actions it gives, and which cameras it has.
KINDS = {
    "act": (HORIZON, CAMERAS),
    "diffusion": (8, CAMERAS),
    "smolvla": (HORIZON, CAMERAS),
    "vqbet": (5, CAMERAS[:1]),
}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("checkpoints")
    for kind in KINDS:
        made.make_checkpoint(kind, folder / kind)
    return folder


def backend(kind: str, folder: Path, **changed: Any) -> Backend:
    horizon, cameras = KINDS[kind]
    facts = {"horizon": horizon, "cameras": cameras, **changed}
    return Backend(
        LeRobotLocalConfig(), robot=robot(), policy=policy(kind, str(folder / kind), **facts)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_chunk_is_that_of_lerobots_own_pipeline(checkpoints: Path, kind: str):
    ours, pipeline = backend(kind, checkpoints), pipelines.Pipeline(checkpoints / kind)
    info = ours.connect()

    for index in range(3):
        torch.manual_seed(index)
        chunk = ours.infer(observation(index))
        torch.manual_seed(index)
        expected = pipeline.predict(observation(index))

        assert chunk.actions.shape == (KINDS[kind][0], len(NAMES))
        np.testing.assert_allclose(chunk.actions, actions_of(expected), atol=1e-12)
        if chunk.horizon == HORIZON:
            np.testing.assert_array_equal(chunk.actions, chunk_of(expected))
    ours.close()
    assert f"{checkpoints / kind} ({kind}) on cpu, lerobot {version('lerobot')}" in info.description
    assert info.prefix == ("guided" if kind == "smolvla" else "none")


def test_a_policy_goes_on_as_its_prefix_does(checkpoints: Path):
    ours = backend("smolvla", checkpoints)
    ours.connect()
    free = ours.infer(observation()).actions
    committed = Prefix(NAMES, free[:8] + 0.1, inference_delay_s=0.1, execution_horizon=8)

    guided = ours.infer(observation(), committed).actions

    apart = np.abs(guided[:8] - committed.actions).max(axis=1)
    assert apart[:3].max() < 0.02
    assert np.abs(free[:3] - committed.actions[:3]).max() > 0.09


@pytest.mark.parametrize("kind", ["act", "smolvla"])
def test_several_robots_are_answered_at_once(checkpoints: Path, kind: str):
    server = backend(kind, checkpoints)
    assert server.connect().max_batch == 8
    clients = [server.another() for _ in range(3)]
    for client in clients:
        client.connect()
    items = [BatchItem(client, observation(index)) for index, client in enumerate(clients)]

    together = server.infer_batch(items)

    assert [chunk.stamp_ns for chunk in together] == [item.observation.stamp_ns for item in items]
    if kind == "act":  # the other one draws lots
        for chunk, item in zip(together, items, strict=True):
            alone = item.backend.infer(item.observation)
            np.testing.assert_allclose(chunk.actions, alone.actions, atol=1e-5)


def test_a_checkpoint_that_gives_fewer_actions_than_described_is_refused(checkpoints: Path):
    with pytest.raises(ConfigError, match=r"describes 9 actions, but .* gives 8"):
        backend("diffusion", checkpoints, horizon=9).connect()


@pytest.mark.parametrize("protocol", ["gr00t", "lerobot"])
def test_a_policy_is_served_on_both_wires(checkpoints: Path, tmp_path: Path, protocol: str):
    described = policy("act", str(checkpoints / "act"))
    (tmp_path / "robot.yaml").write_text(robot_text())
    (tmp_path / "policy.yaml").write_text(policy_text("act", str(checkpoints / "act")))
    files = ("--robot", str(tmp_path / "robot.yaml"), "--policy", str(tmp_path / "policy.yaml"))
    with policy_server("--protocol", protocol, *files) as (server, port):
        client: Any = (
            Gr00tBackend(Gr00tConfig(port=port), robot=robot(), policy=described)
            if protocol == "gr00t"
            else lerobot_grpc.Backend(
                lerobot_grpc.LeRobotConfig(port=port), robot=robot(), policy=described
            )
        )
        client.connect()
        chunk = client.infer(observation())
        client.close()
        server.wait_for(r"ready: .*act.* on cpu")

    expected = chunk_of(pipelines.Pipeline(checkpoints / "act").predict(observation()))
    np.testing.assert_allclose(chunk.actions, expected, atol=1e-6)
