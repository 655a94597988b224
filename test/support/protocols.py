# SPDX-License-Identifier: Apache-2.0
"""All protocols of ``policy_server``, with our client of each, for one robot and one policy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from test.support.gr00t_samples import policy, robot
from test.support.lerobot_peers import LEROBOT_POLICY
from vla_ros.backends import act_zmq, gr00t_http, gr00t_zmq, lerobot_grpc, openpi_websocket
from vla_ros.backends.base import PolicyBackend

# The GR00T samples' six joints, in the words of all protocols.
POLICY = LEROBOT_POLICY
# An ACT server answers with one action.
ACT_POLICY = POLICY.replace("horizon: 16", "horizon: 1")


@dataclass(frozen=True, slots=True)
class Spoken:
    """A protocol.

    Attributes:
        name: What ``--protocol`` calls it.
        flag: Its option where several are served at once.
        client: The module of our client.
        text: The policy's file, as the client has it.
        patient: Whether the client waits before it connects again.
    """

    name: str
    flag: str
    client: Any
    text: str = POLICY
    patient: bool = True

    def connect_to(self, port: int, text: str = "", **config: Any) -> PolicyBackend:
        """Our client, not connected yet; with ``text`` it expects another policy."""
        settings = {"port": port, "timeout_s": 10.0, "connect_timeout_s": 5.0, **config}
        if self.patient:
            settings = {"backoff_s": 0.01, "backoff_max_s": 0.05, **settings}
        kind = self.client.Backend
        return kind(kind.Config(**settings), robot=robot(), policy=policy(text or self.text))


PROTOCOLS = (
    Spoken("gr00t", "--zmq", gr00t_zmq),
    Spoken("gr00t_http", "--http", gr00t_http),
    Spoken("lerobot", "--lerobot", lerobot_grpc, patient=False),
    Spoken("act", "--act", act_zmq, ACT_POLICY),
    Spoken("openpi", "--websocket", openpi_websocket),
)
