# SPDX-License-Identifier: Apache-2.0
"""A policy behind NVIDIA's GR00T server, or behind one of ours, over ZeroMQ.

Which of the three wires the server speaks is found out by one ``get_modality_config`` call for each
connection, which also checks its policy's keys and horizon against the description: the server
itself checks no dimension. One of ours is asked what more it can do, see ``_gr00t_link``. One
thread; no call blocks longer than ``timeout_s``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Literal

from vla_ros.backends._gr00t_client import Answer
from vla_ros.backends._gr00t_link import Gr00tLink, LinkConfig
from vla_ros.backends._remote import RemoteBackend
from vla_ros.backends.base import PolicyInfo
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.errors import ConfigError, RemotePolicyError
from vla_ros.core.observation import Observation, Prefix
from vla_ros.core.params import param
from vla_ros.core.policy_io import PolicyInput, actions_from
from vla_ros.wire.gr00t.action import decode_action, server_seconds
from vla_ros.wire.gr00t.jpeg import JpegQuality
from vla_ros.wire.gr00t.modality import check_modality
from vla_ros.wire.gr00t.observation import encode_observation
from vla_ros.wire.gr00t.options import encode_options
from vla_ros.wire.gr00t.wires import Arrangement, Gr00tWire, Layout

# What a server with the simulation wrapper says of a nested observation.
_WANTS_FLAT = re.compile(r"key '(video|state)\..+' must be in observation")
# More than that many images are seldom sent at once.
_MAX_ENCODERS = 4


@dataclass(frozen=True, slots=True)
class Gr00tConfig(LinkConfig):
    """Where the policy server is, how patient to be with it, and how observations get there."""

    layout: Literal["auto", "nested", "flat"] = param(
        "auto",
        "How an observation's keys are arranged; flat is what a server with NVIDIA's simulation"
        " wrapper wants, auto finds that out.",
    )


class Backend(RemoteBackend):
    """Asks a GR00T policy server."""

    Config = Gr00tConfig

    def __init__(self, config: Gr00tConfig, **facts: Any) -> None:
        """Keep the facts; see ``PolicyBackend``."""
        super().__init__(config, **facts)
        self._config = config
        self._address = f"tcp://{self.address}"
        self._link = Gr00tLink(config, address=self._address, now_ns=self.now_ns)
        self._arrangement = Arrangement(Gr00tWire.B, Layout.NESTED)
        # Images that the policy file makes small have no colours to spare.
        self._quality = JpegQuality(config.jpeg_quality, full_color=bool(self.policy.resizes))
        # Has no thread before the first JPEG file.
        self._encoders = _encoders()

    def connect(self) -> PolicyInfo:
        """Find out the server's wire, and check its policy against the description.

        Raises:
            BackendUnavailable: Nobody answered in time.
            RemotePolicyError: The server answered with an error, a wrong token for instance.
            WireFormatError: The answer follows none of the wires.
            ConfigError: The policy there has other keys, history or horizon, or it takes images
                otherwise than they are to be sent.
        """
        self.close()
        self._handshake(self._deadline())
        return PolicyInfo(
            description=f"GR00T policy server at {self._address},"
            f" wire {self._arrangement.wire.value}{self._link.told}"
        )

    def infer(self, observation: Observation, prefix: Prefix | None = None) -> ActionChunk:
        """The chunk for an observation; see ``PolicyBackend``.

        A prefix is sent along in wires A6 and B. NVIDIA's servers ignore it.
        """
        deadline_s = self._deadline()
        given = self._given(observation)
        self._handshake(deadline_s)
        options = encode_options(observation, prefix, now_ns=self.now_ns())
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
            inference_ns=round(server_seconds(answer.value) * 1e9),
        )

    def reset(self) -> None:
        """Tell the server that an episode begins. Wire A5 has no such endpoint: nothing is sent.

        Raises:
            BackendError: The server could not be reached, or answered with an error.
        """
        deadline_s = self._deadline()
        self._handshake(deadline_s)
        if self._arrangement.wire is not Gr00tWire.A5:
            self._link.client.reset(deadline_s)

    def check(self) -> None:
        """Ping the server; see ``RemoteBackend``. NVIDIA's answers when it is not inferring."""
        self._link.client.ping(self._deadline())

    def close(self) -> None:
        """Let go of the connection."""
        self._link.close()
        self._encoders.shutdown()
        self._encoders = _encoders()

    def _handshake(self, deadline_s: float) -> None:
        """Asks what the policy takes and gives, once for each connection."""
        if self._link.open(deadline_s):
            return
        modalities, wire, is_ours = self._link.client.get_modality_config(deadline_s)
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
        self._link.agree(is_ours=is_ours, deadline_s=deadline_s)

    def _may_be_flat(self) -> bool:
        return self._config.layout == "auto" and self._arrangement.layout is Layout.NESTED

    def _ask(self, given: PolicyInput, options: Mapping[str, Any], deadline_s: float) -> Answer:
        tree = encode_observation(
            given,
            self._arrangement,
            jpeg=self._quality if self._link.jpeg else None,
            each=self._encoders.map,
        )
        wire = self._arrangement.wire
        data = tree if wire is Gr00tWire.A5 else {"observation": tree, "options": options}
        return self._link.client.get_action(data, wire, deadline_s, in_parts=self._link.in_parts)


def _encoders() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(min(_MAX_ENCODERS, os.cpu_count() or 1), "jpeg")
