# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses

import pytest

from vla_ros.bringup.deployment import Deployment, Node
from vla_ros.bringup.sim_bridge import SimBridge, sim_bridge
from vla_ros.core.errors import ConfigError

RING = ["aggregator", "inference", "executor"]
BRIDGES = ["unitree_bridge", "image_stream_bridge"]
REAL = SimBridge(robot="g1_inspire_real", policy="g1_gr00t_n15", gr00t_host="gpu.lab")


def names(made: Deployment) -> list[str]:
    return [process.name for process in made.processes]


def node(made: Deployment, name: str) -> Node:
    [found] = [node for node in made.nodes if node.name == name]
    return found


def option(made: Deployment, program: str, name: str) -> str:
    [found] = [it for it in made.programs if it.name == program]
    return found.arguments[found.arguments.index(name) + 1]


def test_by_default_all_of_it_runs_here() -> None:
    made = sim_bridge(SimBridge(gr00t_port=7001, seed=4, latency_ms=30.0, control_freq=30.0))

    assert names(made) == ["policy_server", "unitree_stand_in", *BRIDGES, *RING]
    assert option(made, "policy_server", "--policy") == "g1_scripted"
    assert option(made, "policy_server", "--latency-ms") == "30"
    assert option(made, "unitree_stand_in", "--seed") == "4"
    assert option(made, "unitree_stand_in", "--domain") == "1"
    bridge = node(made, "unitree_bridge").parameters
    assert bridge["domain"] == 1
    assert bridge["command_topic"] == "lowcmd"
    assert bridge["imu_quaternion_order"] == "xyzw"
    assert bridge["dry_run"] is False
    inference = node(made, "inference").parameters
    assert (inference["backend.host"], inference["backend.port"]) == ("127.0.0.1", 7001)
    executor = node(made, "executor").parameters
    assert (executor["dry_run"], executor["control_rate_hz"]) == (False, 30.0)


def test_several_servers_are_a_list() -> None:
    servers = "gpu-1.lab:5556,gpu-2.lab:5557"
    made = sim_bridge(SimBridge(policy="g1_gr00t_n15", gr00t_host=servers))

    inference = node(made, "inference").parameters
    assert inference["backend.addresses"] == ["gpu-1.lab:5556", "gpu-2.lab:5557"]
    assert "backend.port" not in inference
    with pytest.raises(ConfigError, match=r"gr00t_host must be HOST:PORT, such as .*'gpu-2\.lab'"):
        sim_bridge(SimBridge(policy="g1_gr00t_n15", gr00t_host="gpu-1.lab:5556,gpu-2.lab"))


def test_a_running_simulator_and_server_elsewhere_need_the_bridges_and_the_ring() -> None:
    made = sim_bridge(
        SimBridge(
            sim="isaaclab",
            host="sim.lab",
            policy="g1_gr00t_n15",
            gr00t_host="gpu.lab",
            gr00t_api_token="secret",
            network_interface="eth0",
            task="Isaac-Stack-RgyBlock-G129-Inspire-Joint",
        )
    )

    assert names(made) == [*BRIDGES, *RING]
    assert node(made, "image_stream_bridge").parameters["host"] == "sim.lab"
    bridge = node(made, "unitree_bridge").parameters
    assert bridge["network_interface"] == "eth0"
    assert bridge["task"] == "Isaac-Stack-RgyBlock-G129-Inspire-Joint"
    inference = node(made, "inference").parameters
    assert inference["backend"] == "gr00t_zmq"
    assert inference["backend.host"] == "gpu.lab"
    assert inference["backend.api_token"] == "secret"


def test_a_real_robot_is_left_alone_unless_the_user_says_otherwise() -> None:
    careful, allowed = sim_bridge(REAL), sim_bridge(dataclasses.replace(REAL, dry_run=False))

    assert names(careful) == [*BRIDGES, *RING]
    bridge = node(careful, "unitree_bridge").parameters
    assert bridge["domain"] == 0
    assert bridge["command_topic"] == "arm_sdk"
    assert bridge["imu_quaternion_order"] == "wxyz"
    for made, dry in ((careful, True), (allowed, False)):
        assert node(made, "unitree_bridge").parameters["dry_run"] is dry
        assert node(made, "executor").parameters["dry_run"] is dry


def test_a_robot_that_does_not_stand_by_itself_is_commanded_whole() -> None:
    made = sim_bridge(dataclasses.replace(REAL, motion_mode=False, dds_domain=3))

    bridge = node(made, "unitree_bridge").parameters
    assert (bridge["command_topic"], bridge["domain"]) == ("lowcmd", 3)


def test_several_robots_share_a_server_and_nothing_else() -> None:
    made = sim_bridge(SimBridge(num_robots=2, namespace="lab", seed=5, image_port=60100))

    assert len(names(made)) == len(set(names(made))) == 1 + 2 * 6
    for index in range(2):
        within = f"lab.robot_{index}"
        stand_in = f"{within}.unitree_stand_in"
        bridge = node(made, f"{within}.unitree_bridge")
        images = node(made, f"{within}.image_stream_bridge")
        assert bridge.namespace == f"lab/robot_{index}"
        assert option(made, stand_in, "--domain") == str(bridge.parameters["domain"])
        assert bridge.parameters["domain"] == 1 + index
        offset = int(option(made, stand_in, "--port-offset"))
        assert images.parameters["config_port"] == 60000 + offset
        assert offset == 100 + 10 * index
        assert option(made, stand_in, "--seed") == str(5 + 1000 * index)
        assert node(made, f"{within}.inference").parameters["backend.port"] == 5556


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sim": "gazebo"}, "sim must be one of stand_in, isaaclab, none, found 'gazebo'"),
        ({"sim": "isaaclab"}, "policy must be given with a robot, with isaaclab"),
        ({"gr00t_host": "gpu.lab"}, "policy must be given"),
        ({"robot": "g1_inspire_real"}, "policy must be given with a robot"),
        ({"policy": "g1_gr00t_n15"}, "gr00t_host must be the host of the server of policy g1_gr"),
        ({"gr00t_protocol": "grpc"}, "gr00t_protocol must be one of zmq, http, found 'grpc'"),
        ({"gr00t_protocol": "http"}, "gr00t_protocol must be zmq for the server that is started"),
        ({"num_robots": 0}, "num_robots must be at least 1, found 0"),
        (
            {"num_robots": 2, "sim": "isaaclab", "policy": "p", "gr00t_host": "h"},
            "num_robots must be 1 with sim isaaclab: Unitree's topics have the same names on every",
        ),
        ({"task": "Isaac-Fold-Shirt"}, "task must be Isaac-PickPlace-Cylinder-G129-Inspire-Joint"),
        ({"params_file": "nowhere"}, "nodes: 'nowhere' is not known"),
    ],
)
def test_what_contradicts_itself_is_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        sim_bridge(SimBridge(**changes))  # type: ignore[arg-type]
