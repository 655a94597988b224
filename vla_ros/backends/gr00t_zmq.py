# SPDX-License-Identifier: Apache-2.0
"""A policy behind NVIDIA's GR00T server, or behind one of ours, over ZeroMQ.

Which of the three wires the server speaks is found out by one ``get_modality_config`` call for each
connection, which also checks its policy's keys and horizon against the description: the server
itself checks no dimension. One thread; no call blocks longer than ``timeout_s``.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from vla_ros.backends._gr00t_client import Answer, Gr00tClient
from vla_ros.backends._patience import PatientConfig
from vla_ros.backends._zmq_channel import ZmqChannel
from vla_ros.backends.base import PolicyBackend, PolicyInfo
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.errors import ConfigError, RemotePolicyError
from vla_ros.core.observation import Observation, Prefix
from vla_ros.core.params import param
from vla_ros.core.policy_io import PolicyInput, actions_from, policy_input
from vla_ros.wire.gr00t.action import decode_action
from vla_ros.wire.gr00t.modality import check_modality
from vla_ros.wire.gr00t.observation import encode_observation
from vla_ros.wire.gr00t.options import encode_options
from vla_ros.wire.gr00t.wires import Arrangement, Gr00tWire, Layout
from vla_ros.wire.limits import DEFAULT_MAX_BYTES

# What a server with the simulation wrapper says of a nested observation.
_WANTS_FLAT = re.compile(r"key '(video|state)\..+' must be in observation")


@dataclass(frozen=True, slots=True)
class Gr00tConfig(PatientConfig):
    """Where the policy server is, and how patient to be with it."""

    host: str = param("127.0.0.1", "The policy server's host.")
    port: int = param(5555, "The policy server's port.", ge=1, le=65535)
    api_token: str = param("", "What the server wants to hear to let anybody in; empty: nothing.")
    layout: Literal["auto", "nested", "flat"] = param(
        "auto",
        "How an observation's keys are arranged; flat is what a server with NVIDIA's simulation"
        " wrapper wants, auto finds that out.",
    )


class Backend(PolicyBackend):
    """Asks a GR00T policy server."""

    Config = Gr00tConfig

    def __init__(self, config: Gr00tConfig, **facts: Any) -> None:
        """Keep the facts; see ``PolicyBackend``."""
        super().__init__(config, **facts)
        self._config = config
        self._address = f"tcp://{config.host}:{config.port}"
        self._client = self._new_client()
        self._connection = 0
        self._arrangement = Arrangement(Gr00tWire.B, Layout.NESTED)

    def connect(self) -> PolicyInfo:
        """Find out the server's wire, and check its policy against the description.

        Raises:
            BackendUnavailable: Nobody answered in time.
            RemotePolicyError: The server answered with an error, a wrong token for instance.
            WireFormatError: The answer follows none of the wires.
            ConfigError: The policy there has other keys, history or horizon.
        """
        self.close()
        self._handshake(self._deadline())
        return PolicyInfo(
            description=f"GR00T policy server at {self._address},"
            f" wire {self._arrangement.wire.value}"
        )

    def infer(self, observation: Observation, prefix: Prefix | None = None) -> ActionChunk:
        """The chunk for an observation; see ``PolicyBackend``.

        A prefix is sent along in wires A6 and B. NVIDIA's servers ignore it.
        """
        deadline_s = self._deadline()
        given = policy_input(self.policy, observation)
        self._handshake(deadline_s)
        options = encode_options(observation, prefix)
        try:
            answer = self._ask(given, options, deadline_s)
        except RemotePolicyError as error:
            if not self._may_be_flat() or _WANTS_FLAT.search(str(error)) is None:
                raise
            self._arrangement = replace(self._arrangement, layout=Layout.FLAT)
            answer = self._ask(given, options, deadline_s)
        by_key = decode_action(answer.value, self._arrangement, self.policy.action)
        return self.chunk(
            observation,
            actions_from(self.policy, by_key),
            sent_ns=answer.sent_ns,
            received_ns=answer.received_ns,
        )

    def reset(self) -> None:
        """Tell the server that an episode begins. Wire A5 has no such endpoint: nothing is sent.

        Raises:
            BackendError: The server could not be reached, or answered with an error.
        """
        deadline_s = self._deadline()
        self._handshake(deadline_s)
        if self._arrangement.wire is not Gr00tWire.A5:
            self._client.reset(deadline_s)

    def close(self) -> None:
        """Let go of the connection."""
        self._client.channel.close()
        self._client = self._new_client()
        self._connection = 0

    def _new_client(self) -> Gr00tClient:
        return Gr00tClient(
            ZmqChannel(self._address, times=self._config.times, max_bytes=DEFAULT_MAX_BYTES),
            api_token=self._config.api_token or None,
            max_bytes=DEFAULT_MAX_BYTES,
            now_ns=self.now_ns,
        )

    def _deadline(self) -> float:
        return time.monotonic() + self._config.timeout_s

    def _handshake(self, deadline_s: float) -> None:
        """Asks what the policy takes and gives, once for each connection."""
        connection = self._client.channel.open(deadline_s)
        if connection == self._connection:
            return
        modalities, wire = self._client.get_modality_config(deadline_s)
        check_modality(self.policy, modalities, server=self._address)
        if wire is Gr00tWire.A5:
            if self._config.layout == "nested":
                raise ConfigError(
                    f"layout is nested, but the server at {self._address} speaks wire A5, which"
                    " knows flat alone; allowed with it: auto, flat"
                )
            self._arrangement = Arrangement(wire, Layout.FLAT, batched=False)
        else:
            layout = Layout.FLAT if self._config.layout == "flat" else Layout.NESTED
            self._arrangement = Arrangement(wire, layout)
        self._connection = connection

    def _may_be_flat(self) -> bool:
        return self._config.layout == "auto" and self._arrangement.layout is Layout.NESTED

    def _ask(self, given: PolicyInput, options: Mapping[str, Any], deadline_s: float) -> Answer:
        tree = encode_observation(given, self._arrangement)
        wire = self._arrangement.wire
        data = tree if wire is Gr00tWire.A5 else {"observation": tree, "options": options}
        return self._client.get_action(data, wire, deadline_s)
