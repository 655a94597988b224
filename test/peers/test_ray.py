# SPDX-License-Identifier: Apache-2.0
"""The example of a Ray Serve application, as ``serve run`` serves it; run by ``make test-ray``."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from test.core.refusals import refused
from test.support.ray_serve import PATIENCE_S, ROOT, Served, served
from vla_ros.backends import gr00t_http, openpi_websocket
from vla_ros.backends.base import PolicyBackend
from vla_ros.core.config_files import config_file
from vla_ros.core.errors import BackendError, RemotePolicyError
from vla_ros.core.observation import Observation
from vla_ros.core.policy_spec import load_policy_spec
from vla_ros.core.robot_spec import load_robot_spec

pytestmark = [pytest.mark.peer, pytest.mark.timeout(240)]
pytest.importorskip("ray", reason="no Ray here; make test-ray installs it")

ROBOT = load_robot_spec(config_file("robots", "so101_sim"))
POLICY = load_policy_spec(config_file("policies", "so101_scripted"))
# Answers with the pose that it is shown.
HELD = {"robot": "so101_sim", "policy": "so101_scripted", "backend": "hold"}
POSE = np.linspace(0.1, 0.6, len(POLICY.state_names))
# What the scripted policy says to a picture in which there is nothing.
BLIND = "sees no red cube"


@pytest.fixture(scope="module")
def application(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("serve"), {"held": HELD}) as running:
        yield running


def observation(pose: np.ndarray = POSE, instruction: str = "lift the red cube") -> Observation:
    images = {
        name: np.zeros((camera.height, camera.width, 3), np.uint8)
        for name, camera in ROBOT.cameras.items()
    }
    return Observation(time.time_ns(), instruction, images, POLICY.state_names, pose)


def http_client(port: int) -> PolicyBackend:
    config = gr00t_http.HttpConfig(port=port)
    return gr00t_http.Backend(config, robot=ROBOT, policy=POLICY)


def websocket_client(port: int, path: str = "/held") -> PolicyBackend:
    config = openpi_websocket.OpenpiConfig(port=port, path=path)
    return openpi_websocket.Backend(config, robot=ROBOT, policy=POLICY)


def until(happens: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not happens():
        assert time.monotonic() < deadline_s
        time.sleep(0.1)


def test_our_http_client_is_answered_and_hears_what_is_wrong(application: Served) -> None:
    with closing(http_client(application.port)) as client:
        info = client.connect()
        assert "model so101_scripted" in info.description
        assert "msgpack" in info.description
        client.reset()
        with refused(RemotePolicyError, BLIND):
            client.infer(observation())
        with refused(RemotePolicyError, "it must name a known colour"):
            client.infer(observation(instruction="dance"))


def test_our_websocket_client_is_answered_and_hears_what_is_wrong(application: Served) -> None:
    with closing(websocket_client(application.port)) as client:
        client.connect()
        for step in range(3):
            chunk = client.infer(observation(POSE + step))
            np.testing.assert_allclose(chunk.actions[0], POSE + step, rtol=1e-6)
    with closing(websocket_client(application.port, path="/")) as client:
        client.connect()
        with refused(RemotePolicyError, BLIND):
            client.infer(observation())
        client.reset()


def test_openpis_own_client_is_served(application: Served) -> None:
    module = pytest.importorskip("openpi_client.websocket_client_policy")
    client = module.WebsocketClientPolicy(f"ws://127.0.0.1:{application.port}/held")
    assert client.get_server_metadata()["action_horizon"] == POLICY.horizon
    seen = observation()
    asked: dict[str, Any] = {key: seen.images[camera] for key, camera in POLICY.video.items()}
    for key, mapping in POLICY.state.items():
        asked[key] = seen.select(mapping.interfaces)
    asked[POLICY.instruction_key] = "stay"
    actions = client.infer(asked)["actions"]
    np.testing.assert_allclose(actions[-1], POSE, rtol=1e-6)


def test_what_is_not_there_is_not_found(application: Served) -> None:
    address = f"http://127.0.0.1:{application.port}"
    with pytest.raises(urllib.error.HTTPError, match="404") as info:
        urllib.request.urlopen(f"{address}/nobody/act", data=b"{}", timeout=PATIENCE_S)
    with closing(info.value):
        assert "/nobody/act is not served" in json.load(info.value)["detail"]
    with urllib.request.urlopen(f"{address}/held/health", timeout=PATIENCE_S) as reply:
        assert json.load(reply)["state"] == "ready"


def test_robots_are_spread_over_both_replicas_and_not_mixed_up(application: Served) -> None:
    with ExitStack() as stack:
        clients = [
            stack.enter_context(closing(websocket_client(application.port))) for _ in range(12)
        ]
        for client in clients:
            client.connect()
        for step in range(3):
            for index, client in enumerate(clients):
                pose = POSE + 0.01 * index + step
                np.testing.assert_allclose(client.infer(observation(pose)).actions[0], pose, 1e-6)

    def inferred() -> set[str]:
        line = r"ServeReplica:policy:Policy pid=(\d+)\).* CALL infer OK"
        return set(re.findall(line, application.log.read_text()))

    until(lambda: len(inferred()) == 2)


def test_a_replica_that_is_killed_is_not_missed(application: Served) -> None:
    until(lambda: len(application.replicas) == 2)
    with ExitStack() as stack:
        clients = [
            stack.enter_context(closing(websocket_client(application.port))) for _ in range(8)
        ]
        for client in clients:
            client.connect()
            client.infer(observation())
        before = set(application.replicas)

        os.kill(application.replicas[0], signal.SIGKILL)

        failures = 0
        for _ in range(10):
            for client in clients:
                try:
                    chunk = client.infer(observation())
                except BackendError:
                    failures += 1
                else:
                    np.testing.assert_allclose(chunk.actions[0], POSE, rtol=1e-6)
        # Nobody fails more than once: the other replica answers at once.
        assert failures <= len(clients)
    until(lambda: len(set(application.replicas) - before) == 1)


@pytest.mark.flaky(reruns=1)
@pytest.mark.parametrize("backend", ["gr00t_http", "openpi_websocket"])
def test_the_demo_runs_against_it(application: Served, tmp_path: Path, backend: str) -> None:
    output = tmp_path / "demo"
    # ROS lives in an environment of its own, which must find none of ours.
    folders = os.environ["PATH"].split(os.pathsep)
    path = os.pathsep.join(each for each in folders if not each.startswith(str(ROOT)))
    done = subprocess.run(
        ["scripts/run.sh", "python", "-m", "vla_ros.bringup.demo", "--output", str(output),
         "--backend", backend, "--server", f"127.0.0.1:{application.port}"],
        check=False, capture_output=True, text=True, timeout=200,
        cwd=ROOT, env={**os.environ, "PATH": path},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads((output / "summary.json").read_text())
    assert (figures["episodes"], figures["successes"]) == (5, 5), figures
