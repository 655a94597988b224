# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from test.support.golden_backend import GoldenBackend
from test.support.gr00t_samples import observation
from vla_ros.backends.base import PolicyInfo
from vla_ros.core.errors import BackendUnavailable, RemotePolicyError
from vla_ros.serving.policy_health import PolicyHealth

CHUNK = GoldenBackend().infer(observation())
ERROR = RemotePolicyError("the GPU is gone")


def test_it_loads_until_it_is_connected_or_refused():
    health = PolicyHealth()
    assert (health.state, health.detail) == ("loading", "")
    health.refused(BackendUnavailable("the model is not there"))
    assert (health.state, health.detail) == ("failed", "the model is not there")
    health.connected(PolicyInfo("loaded"))
    assert (health.state, health.detail) == ("ready", "loaded")


def test_it_has_failed_where_nothing_but_errors_came_and_of_late():
    now = [100.0]
    health = PolicyHealth(now_s=lambda: now[0])
    health.connected(PolicyInfo("loaded"))
    health.inferred([ERROR, ERROR])
    assert (health.state, health.detail) == ("ready", "the GPU is gone")
    health.inferred([CHUNK, ERROR, ERROR])
    assert health.state == "ready"
    health.inferred([ERROR])
    assert health.state == "failed"
    now[0] = 106.0
    assert health.state == "ready"
    health.inferred([ERROR])
    assert health.state == "failed"
    health.inferred([ERROR, CHUNK])
    assert (health.state, health.detail) == ("ready", "loaded")
