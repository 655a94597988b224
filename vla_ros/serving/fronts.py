# SPDX-License-Identifier: Apache-2.0
"""The protocols that a policy can be served in, and what serves each. For one thread."""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable
from typing import Protocol

from vla_ros.backends.base import PolicyBackend
from vla_ros.core.errors import ConfigError
from vla_ros.serving.act_service import ActService
from vla_ros.serving.gr00t_http_service import Gr00tHttpService
from vla_ros.serving.gr00t_service import Gr00tService
from vla_ros.serving.http_front import HttpFront
from vla_ros.serving.lerobot_service import LeRobotService
from vla_ros.serving.openpi_service import OpenpiService
from vla_ros.serving.sessions import Sessions
from vla_ros.serving.zmq_front import ZmqFront
from vla_ros.wire.gr00t import http
from vla_ros.wire.gr00t.wires import Gr00tWire

GR00T, GR00T_HTTP, LEROBOT, ACT, OPENPI = "gr00t", "gr00t_http", "lerobot", "act", "openpi"
# The protocols, and where they are served. ACT's clients expect 5555, openpi's 8000, which are
# GR00T's too; all protocols have a place beside each other.
PORTS = {GR00T: 5555, GR00T_HTTP: http.PORT, LEROBOT: 8080, ACT: 5556, OPENPI: 8001}
# Whose clients cannot say a token.
TOKENLESS = (LEROBOT, ACT)
# The GR00T wires whose clients understand one and the same description of the policy.
BOTH = "A6+B"
MEBIBYTE = 1024 * 1024


class Front(Protocol):
    """What carries requests and replies; see ``ZmqFront``."""

    address: str
    wake_fd: int

    def run(self) -> bool:
        """Serve until somebody stops it; whether the backend let go in time."""

    def stop(self) -> None:
        """Make ``run`` return soon."""


def make_front(options: argparse.Namespace, backend: PolicyBackend) -> Front:
    """What serves the protocol that the options name, listening already.

    Raises:
        ConfigError: An option is wrong or not the protocol's, the address cannot be listened at, or
            a library is missing.
    """
    port = PORTS[options.protocol] if options.port is None else options.port
    max_bytes = int(options.max_message_mib * MEBIBYTE)
    delay_s = delays(options.latency_ms / 1000, options.latency_jitter_ms / 1000, random.Random())
    sessions = Sessions(backend)
    _refuse_others(options)
    if options.protocol == LEROBOT:
        return _lerobot_front(options, sessions, port=port, max_bytes=max_bytes, delay_s=delay_s)
    if options.protocol == OPENPI:
        return _openpi_front(options, sessions, port=port, max_bytes=max_bytes, delay_s=delay_s)
    if options.protocol == GR00T_HTTP:
        return HttpFront(
            Gr00tHttpService(sessions, api_token=options.api_token, max_bytes=max_bytes),
            sessions,
            host=options.host,
            port=port,
            max_bytes=max_bytes,
            delay_s=delay_s,
        )
    address = f"tcp://{options.host}:{port or '*'}"
    if options.protocol == ACT:
        act = ActService(sessions, max_bytes=max_bytes)
        return ZmqFront(act, sessions, address=address, max_bytes=max_bytes, delay_s=delay_s)
    service = Gr00tService(
        sessions,
        api_token=options.api_token,
        modality_wire=None if options.modality_wire == BOTH else Gr00tWire(options.modality_wire),
        max_bytes=max_bytes,
    )
    return ZmqFront(service, sessions, address=address, max_bytes=max_bytes, delay_s=delay_s)


def delays(mean_s: float, jitter_s: float, chance: random.Random) -> Callable[[], float]:
    """Draws how late an answer is [s]: evenly around the mean, and never early."""
    return lambda: max(0.0, mean_s + chance.uniform(-jitter_s, jitter_s))


def _lerobot_front(
    options: argparse.Namespace,
    sessions: Sessions,
    *,
    port: int,
    max_bytes: int,
    delay_s: Callable[[], float],
) -> Front:
    try:
        # gRPC is needed here alone.
        from vla_ros.serving.grpc_front import GrpcFront  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(
            f"--protocol lerobot needs a Python package that cannot be imported: {error}"
        ) from error
    service = LeRobotService(sessions, checkpoints=options.allow_checkpoint, max_bytes=max_bytes)
    return GrpcFront(
        service, sessions, host=options.host, port=port, max_bytes=max_bytes, delay_s=delay_s
    )


def _openpi_front(
    options: argparse.Namespace,
    sessions: Sessions,
    *,
    port: int,
    max_bytes: int,
    delay_s: Callable[[], float],
) -> Front:
    try:
        # An extra; a robot that speaks otherwise needs none.
        from vla_ros.serving.websocket_front import WebsocketFront  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(
            f"--protocol openpi needs websockets, 13 or later: pip install 'vla_ros[openpi]':"
            f" {error}"
        ) from error
    service = OpenpiService(sessions, api_token=options.api_token, max_bytes=max_bytes)
    return WebsocketFront(
        service, sessions, host=options.host, port=port, max_bytes=max_bytes, delay_s=delay_s
    )


def _refuse_others(options: argparse.Namespace) -> None:
    """Raises where an option is another protocol's."""
    if options.allow_checkpoint and options.protocol != LEROBOT:
        raise ConfigError("--allow-checkpoint goes with --protocol lerobot alone")
    if options.modality_wire != BOTH and options.protocol != GR00T:
        raise ConfigError("--modality-wire goes with --protocol gr00t alone")
    if options.api_token is not None and options.protocol in TOKENLESS:
        raise ConfigError(
            "--api-token, or $VLA_ROS_API_TOKEN: clients of --protocol"
            f" {options.protocol} cannot say it"
        )
