# SPDX-License-Identifier: Apache-2.0
"""openpi's own client against our codec and server, and our client against its own packer."""

from __future__ import annotations

import traceback
import urllib.request
from typing import Any

import numpy as np
import pytest

from test.support.golden_backend import GoldenBackend
from test.support.gr00t_samples import INSTRUCTION, observation, robot
from test.support.openpi_peers import serving
from test.support.openpi_samples import (
    ACTIONS,
    ARM,
    CLAW,
    OUTSIDE,
    PIXELS,
    PROMPT,
    STATE,
    TIMING_MS,
    WRIST,
    policy,
)
from test.support.served import served
from vla_ros.backends.openpi_websocket import Backend, OpenpiConfig
from vla_ros.core.errors import RemotePolicyError
from vla_ros.wire.openpi.reply import encode_answer, encode_metadata
from vla_ros.wire.openpi.request import decode_request

msgpack_numpy = pytest.importorskip("openpi_client.msgpack_numpy")
client_policy = pytest.importorskip("openpi_client.websocket_client_policy")

pytestmark = pytest.mark.peer
OBSERVATION = {
    OUTSIDE: PIXELS[0],
    WRIST: PIXELS[1],
    ARM: STATE[:5].astype(np.float64),
    CLAW: STATE[5:],
    PROMPT: INSTRUCTION,
}


def test_openpis_client_is_answered():
    seen: list[Any] = []

    def answer(request: bytes) -> bytes | str:
        seen.append(decode_request(request, policy()))
        return encode_answer(ACTIONS, TIMING_MS) if len(seen) < 3 else "no: too often"

    with serving(answer, greeting=encode_metadata(policy())) as server:
        client = client_policy.WebsocketClientPolicy("127.0.0.1", server.port, api_key="secret")
        assert client.get_server_metadata() == {
            "name": "six_joints_openpi", "action_horizon": 5, "action_dim": 6,
        }  # fmt: skip
        for _ in range(2):
            reply = client.infer(OBSERVATION)
            np.testing.assert_array_equal(reply["actions"], ACTIONS, strict=True)
            assert reply["server_timing"] == TIMING_MS
        with pytest.raises(RuntimeError, match="Error in inference server:\nno: too often"):
            client.infer(OBSERVATION)
        assert server.keys == ["Api-Key secret"]
        health = urllib.request.urlopen(f"http://127.0.0.1:{server.port}/healthz", timeout=5)
        assert (health.status, health.read()) == (200, b"OK\n")
    np.testing.assert_equal(dict(seen[0].video), {OUTSIDE: PIXELS[0], WRIST: PIXELS[1]})
    np.testing.assert_equal(
        dict(seen[0].state), {ARM: STATE[:5].astype(np.float64), CLAW: STATE[5:]}
    )
    assert seen[0].language == {PROMPT: INSTRUCTION}


def test_openpis_client_is_served():
    backend = GoldenBackend(robot=robot(), policy=policy())
    backend.actions = ACTIONS.astype(float)
    with served(backend, "--protocol", "openpi", "--api-token", "secret") as port:
        client = client_policy.WebsocketClientPolicy("127.0.0.1", port, api_key="secret")
        assert client.get_server_metadata() == {
            "name": "six_joints_openpi", "action_horizon": 5, "action_dim": 6,
        }  # fmt: skip
        for _ in range(2):
            reply = client.infer(OBSERVATION)
            np.testing.assert_array_equal(reply["actions"], ACTIONS)
            assert reply["server_timing"]["infer_ms"] >= 0
        client.reset()
        np.testing.assert_equal(dict(backend.seen[-1].images), dict(observation().images))
        assert backend.seen[-1].instruction == INSTRUCTION
        backend.error = RemotePolicyError("the policy is tired")
        with pytest.raises(RuntimeError, match="Error in inference server:\nthe policy is tired"):
            client.infer(OBSERVATION)
        assert backend.resets == 1
        backend.error = None
        again = client_policy.WebsocketClientPolicy("127.0.0.1", port, api_key="secret")
        assert again.infer(OBSERVATION)["actions"].shape == (5, 6)
        assert backend.resets == 2
        health = urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5)
        assert (health.status, health.read()) == (200, b"OK\n")


def test_our_client_is_understood_by_openpis_packer():
    packer = msgpack_numpy.Packer()
    fails: list[bool] = []

    def answer(request: bytes) -> bytes | str:
        given = msgpack_numpy.unpackb(request)
        try:
            np.testing.assert_equal(given, {**OBSERVATION, ARM: STATE[:5]})
            if fails:
                raise ValueError("the policy is tired")
        except (AssertionError, ValueError):
            return traceback.format_exc()
        state = np.concatenate((given[ARM], given[CLAW])).astype(np.float64)
        actions = state + np.arange(5)[:, None]
        reply = {"state": state, "actions": actions, "policy_timing": {"infer_ms": np.float64(1)}}
        return packer.pack({**reply, "server_timing": {"infer_ms": 1.5}})

    with serving(answer, greeting=packer.pack({"reset_pose": np.zeros(6)})) as server:
        ours = Backend(OpenpiConfig(port=server.port), robot=robot(), policy=policy())
        ours.connect()
        for _ in range(2):
            chunk = ours.infer(observation())
            np.testing.assert_array_equal(chunk.actions, STATE + np.arange(5)[:, None])
        fails.append(True)
        with pytest.raises(RemotePolicyError, match=r"ValueError: the policy is tired$"):
            ours.infer(observation())
        ours.close()
