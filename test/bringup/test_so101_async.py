# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from vla_ros.bringup.so101_async import So101Async, so101_async
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


def test_a_remote_server_and_a_real_arm_start_the_ring_alone() -> None:
    made = so101_async(So101Async(sim=False, server_address="gpu.lab:5556"))
    assert [process.name for process in made.processes] == ["aggregator", "inference", "executor"]
    inference = next(node for node in made.nodes if node.executable == "inference")
    assert inference.parameters["backend.host"] == "gpu.lab"
    assert inference.parameters["backend.port"] == 5556


@pytest.mark.parametrize(
    "address", ["gpu.lab", ":5555", "gpu.lab:", "gpu.lab:0", "gpu:99999", "gpu:x"]
)
def test_a_malformed_address_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="must be HOST:PORT, found"):
        so101_async(So101Async(server_address=address))


def test_an_unknown_parameter_file_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"nodes: file nowhere\.yaml does not exist"):
        so101_async(So101Async(params_file="nowhere.yaml"))
