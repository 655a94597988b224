# SPDX-License-Identifier: Apache-2.0
"""The protocols that a policy can be served in, and what serves each. For one thread."""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable
from typing import Protocol

from vla_ros.backends.base import PolicyBackend
from vla_ros.core.errors import ConfigError
from vla_ros.serving.gr00t_http_service import Gr00tHttpService
from vla_ros.serving.gr00t_service import Gr00tService
from vla_ros.serving.http_front import HttpFront
from vla_ros.serving.lerobot_service import LeRobotService
from vla_ros.serving.sessions import Sessions
from vla_ros.serving.zmq_front import ZmqFront
from vla_ros.wire.gr00t import http
from vla_ros.wire.gr00t.wires import Gr00tWire

GR00T, GR00T_HTTP, LEROBOT = "gr00t", "gr00t_http", "lerobot"
# The protocols, and the ports that their clients expect.
PORTS = {GR00T: 5555, GR00T_HTTP: http.PORT, LEROBOT: 8080}
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
    if options.protocol == LEROBOT:
        return _lerobot_front(options, sessions, port=port, max_bytes=max_bytes, delay_s=delay_s)
    if options.allow_checkpoint:
        raise ConfigError("--allow-checkpoint goes with --protocol lerobot alone")
    if options.protocol == GR00T_HTTP:
        _refuse_modality_wire(options)
        return HttpFront(
            Gr00tHttpService(sessions, api_token=options.api_token, max_bytes=max_bytes),
            sessions,
            host=options.host,
            port=port,
            max_bytes=max_bytes,
            delay_s=delay_s,
        )
    service = Gr00tService(
        sessions,
        api_token=options.api_token,
        modality_wire=None if options.modality_wire == BOTH else Gr00tWire(options.modality_wire),
        max_bytes=max_bytes,
    )
    address = f"tcp://{options.host}:{port or '*'}"
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
    if options.api_token is not None:
        raise ConfigError(
            "--api-token, or $VLA_ROS_API_TOKEN: clients of --protocol lerobot cannot say it"
        )
    _refuse_modality_wire(options)
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


def _refuse_modality_wire(options: argparse.Namespace) -> None:
    if options.modality_wire != BOTH:
        raise ConfigError("--modality-wire goes with --protocol gr00t alone")
