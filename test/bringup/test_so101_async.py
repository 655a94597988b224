# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from vla_ros.bringup.deployment import Deployment, Node
from vla_ros.bringup.so101_async import So101Async, so101_async
from vla_ros.core.config_files import config_file
from vla_ros.core.errors import ConfigError


def test_by_default_all_of_it_runs_here() -> None:
    made = so101_async(
        So101Async(latency_ms=100.0, latency_jitter_ms=5.0, server_port=7001, seed=4)
    )
    names = [process.name for process in made.processes]
    assert names == ["policy_server", "simulation", "aggregator", "inference", "executor"]
    server = made.programs[0].arguments
    assert server[server.index("--latency-ms") + 1] == "100"
    assert server[server.index("--port") + 1] == "7001"
    inference = next(node for node in made.nodes if node.executable == "inference")
    assert inference.parameters["backend.host"] == "127.0.0.1"
    assert inference.parameters["backend.port"] == 7001
    simulation = next(node for node in made.nodes if node.executable == "simulation")
    assert simulation.parameters["seed"] == 4


def names(made: Deployment) -> list[str]:
    return [process.name for process in made.processes]


def node(made: Deployment, name: str) -> Node:
    [found] = [node for node in made.nodes if node.name == name]
    return found


def policy_file(folder: Path, backend: str) -> str:
    text = config_file("policies", "so101_gr00t").read_text("utf-8")
    path = folder / "policy.yaml"
    path.write_text(text.replace("backend: gr00t_zmq", f"backend: {backend}"), "utf-8")
    return str(path)


def test_a_remote_server_and_an_arm_that_runs_already_start_the_ring_alone() -> None:
    made = so101_async(
        So101Async(
            sim=False, policy="so101_gr00t", driver="ros2_control", server_address="gpu.lab:5556"
        )
    )
    assert names(made) == ["aggregator", "inference", "executor"]
    assert node(made, "inference").parameters["backend.host"] == "gpu.lab"
    assert node(made, "inference").parameters["backend.port"] == 5556


def test_several_servers_are_a_list() -> None:
    made = so101_async(
        So101Async(policy="so101_gr00t", server_address="gpu.lab:5555, [fe80::1]:5556")
    )
    parameters = node(made, "inference").parameters
    assert parameters["backend.addresses"] == ["gpu.lab:5555", "[fe80::1]:5556"]
    assert "backend.host" not in parameters
    assert made.programs == ()
    words = node(made, "inference").command()
    assert "backend.addresses:=['gpu.lab:5555', '[fe80::1]:5556']" in words


def test_a_real_arm_has_a_driver_and_cameras() -> None:
    made = so101_async(
        So101Async(
            sim=False,
            policy="so101_gr00t",
            server_address="gpu.lab:5556",
            port="/dev/ttyACM1",
            calibration="/arm.json",
            cameras="front=/dev/video0 wrist=2",
        )
    )
    assert names(made)[:3] == ["so101_driver", "front_camera", "wrist_camera"]
    driver = node(made, "so101_driver").parameters
    assert (driver["port"], driver["calibration"]) == ("/dev/ttyACM1", "/arm.json")
    wrist = node(made, "wrist_camera")
    assert wrist.executable == "usb_camera"
    assert wrist.parameters["device"] == "2"
    assert ("image_raw/compressed", "wrist/image_raw/compressed") in wrist.remappings
    assert "__node:=wrist_camera" in wrist.command()


def test_a_real_arm_is_left_alone_unless_the_user_says_otherwise() -> None:
    real = So101Async(
        sim=False, policy="so101_gr00t", server_address="gpu.lab:5556", calibration="/arm.json"
    )
    dry = so101_async(real)
    assert node(dry, "so101_driver").parameters["dry_run"] is True
    assert node(dry, "executor").parameters["dry_run"] is True
    live = so101_async(dataclasses.replace(real, dry_run=False))
    assert node(live, "so101_driver").parameters["dry_run"] is False
    assert node(live, "executor").parameters["dry_run"] is False
    assert node(so101_async(So101Async()), "executor").parameters["dry_run"] is False


@pytest.mark.parametrize(
    ("backend", "protocol"),
    [
        ("gr00t_http", "gr00t_http"),
        ("gr00t_zmq", "gr00t"),
        ("lerobot_grpc", "lerobot"),
        ("openpi_websocket", "openpi"),
    ],
)
def test_in_simulation_a_policy_behind_a_server_is_rehearsed_over_its_own_wire(
    tmp_path: Path, backend: str, protocol: str
) -> None:
    made = so101_async(So101Async(policy=policy_file(tmp_path, backend)))
    [server] = made.programs
    assert server.arguments[:2] == ("--protocol", protocol)
    assert node(made, "inference").parameters["backend"] == backend


@pytest.mark.parametrize("backend", ["act_zmq", "gr00t_http", "openpi_websocket"])
def test_a_server_that_runs_already_is_asked_over_the_wire_of_the_backend(backend: str) -> None:
    made = so101_async(So101Async(backend=backend, server_address="gpu.lab:8000"))
    assert made.programs == ()
    asked = node(made, "inference").parameters
    assert (asked["backend"], asked["backend.port"]) == (backend, 8000)


@pytest.mark.parametrize("how", ["file", "argument"])
def test_a_policy_without_a_server_runs_in_the_process(tmp_path: Path, how: str) -> None:
    chosen = So101Async(policy="so101_gr00t", backend="lerobot_local")
    if how == "file":
        chosen = So101Async(policy=policy_file(tmp_path, "lerobot_local"))
    made = so101_async(chosen)
    assert made.programs == ()
    assert node(made, "inference").parameters["backend"] == "lerobot_local"
    assert "backend.host" not in node(made, "inference").parameters


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        (So101Async(sim=False), "policy must be given for a real arm"),
        (So101Async(sim=False, policy="so101_gr00t"), "server_address must be HOST:PORT of the"),
        (
            So101Async(sim=False, policy="so101_gr00t", server_address="a:1"),
            "calibration must be given for a real arm",
        ),
        (
            So101Async(sim=False, policy="so101_gr00t", server_address="a:1", driver="x"),
            "driver must be one of so101_driver, ros2_control, found 'x'",
        ),
        (So101Async(cameras="front"), "cameras must be NAME=DEVICE, separated by spaces"),
        (So101Async(cameras="top=0"), "robot so101_sim has front, wrist"),
        (So101Async(cameras="front=0"), "must have transport compressed to be read here"),
    ],
)
def test_choices_that_contradict_each_other_are_refused(chosen: So101Async, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        so101_async(chosen)


@pytest.mark.parametrize(
    "address",
    ["gpu.lab", ":5555", "gpu.lab:", "gpu.lab:0", "gpu:99999", "gpu:x", "a:1,", "a:1 b:2"],
)
def test_a_malformed_address_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="server_address must be HOST:PORT, such as"):
        so101_async(So101Async(server_address=address))


def test_an_unknown_parameter_file_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"nodes: file nowhere\.yaml does not exist"):
        so101_async(So101Async(params_file="nowhere.yaml"))
