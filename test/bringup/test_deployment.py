# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

from vla_ros.bringup.deployment import (
    Deployment,
    Node,
    Program,
    policy_server,
    ring,
    transport,
)


def test_a_node_as_a_command_line() -> None:
    node = Node(
        "executor",
        (Path("/a.yaml"), Path("/b.yaml")),
        {"rate": 1.0, "on": True, "task": "it's: a 'test'", "names": ["a", "b"], "count": 3},
        (("joint_states", "arm/joint_states"),),
        namespace="/left",
    )
    words = node.command()
    assert words[:4] == [sys.executable, "-m", "vla_ros.nodes.executor", "--ros-args"]
    text = " ".join(words)
    assert "-r __ns:=/left" in text
    assert "-r joint_states:=arm/joint_states" in text
    assert text.index("/a.yaml") < text.index("/b.yaml") < text.index("rate:=")
    given = [
        word.split(":=", 1)
        for word in words
        if ":=" in word and words[words.index(word) - 1] == "-p"
    ]
    assert {name: yaml.safe_load(value) for name, value in given} == dict(node.parameters)


def test_a_program_as_a_command_line() -> None:
    program = Program("vla_ros.serving.policy_server", ("--port", "1"))
    assert program.command() == [
        sys.executable,
        "-m",
        "vla_ros.serving.policy_server",
        "--port",
        "1",
    ]
    assert program.name == "policy_server"


def test_processes_of_several_robots_have_names_of_their_own() -> None:
    assert Node("executor", namespace="robot_0").name == "robot_0.executor"
    assert "__ns:=/robot_0" in Node("executor", namespace="robot_0").command()
    assert Node("usb_camera", namespace="/lab/left/", called="wrist").name == "lab.left.wrist"
    assert Program("vla_ros.sim.rollout", namespace="robot_1").name == "robot_1.rollout"


def test_a_policy_server_for_this_machine() -> None:
    server = policy_server(
        robot="r", policy="p", port=7, backend="replay", latency_ms=20.0, options={"recording": "f"}
    )
    text = " ".join(server.command())
    for words in (
        "-m vla_ros.serving.policy_server --protocol gr00t --robot r --policy p",
        "--backend replay --host 127.0.0.1 --port 7",
        "--latency-ms 20 --latency-jitter-ms 0",
        "--backend-option recording=f",
    ):
        assert words in text
    assert "--backend" not in policy_server(robot="r", policy="p", port=7).arguments


def test_deployments_add_up_and_programs_come_first() -> None:
    one = Deployment(nodes=(Node("a"),), programs=(Program("x"),))
    two = Deployment(nodes=(Node("b"),), programs=(Program("y"),), environment={"MORE": "1"})
    both = one + two
    assert [process.name for process in both.processes] == ["x", "y", "a", "b"]
    assert both.environment == {**transport(), "MORE": "1"}


def test_the_ring_has_its_three_nodes() -> None:
    made = ring(
        robot="r",
        policy="p",
        params_files=(Path("/p.yaml"),),
        backend={"backend.port": 1},
        instruction="go",
        namespace="/n",
    )
    nodes = {node.executable: node for node in made.nodes}
    assert set(nodes) == {"aggregator", "inference", "executor"}
    assert nodes["aggregator"].parameters == {"robot": "r", "policy": "p", "instruction": "go"}
    assert nodes["inference"].parameters == {"robot": "r", "policy": "p", "backend.port": 1}
    assert nodes["executor"].parameters == {"robot": "r", "policy": "p", "dry_run": False}
    assert {node.namespace for node in made.nodes} == {"/n"}
    silent = ring(robot="r", policy="p", params_files=(Path("/p.yaml"),), backend={})
    assert "instruction" not in silent.nodes[0].parameters


def test_a_profile_for_raw_images_is_set_unless_the_user_has_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"):
        monkeypatch.delenv(name, raising=False)
    chosen = transport()
    assert len(chosen) == 2
    assert all(Path(path).is_file() for path in chosen.values())
    monkeypatch.setenv("FASTDDS_DEFAULT_PROFILES_FILE", "/my/own.xml")
    assert transport() == {}
