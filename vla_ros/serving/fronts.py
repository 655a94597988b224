# SPDX-License-Identifier: Apache-2.0
"""The protocols that a policy can be served in, and what serves each. For one thread."""

from __future__ import annotations

import argparse
import os
import random
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from vla_ros.core.errors import ConfigError
from vla_ros.core.policy_spec import PolicySpec
from vla_ros.serving.act_service import ActService
from vla_ros.serving.gr00t_http_service import Gr00tHttpService
from vla_ros.serving.gr00t_service import Gr00tService
from vla_ros.serving.http_front import HttpFront
from vla_ros.serving.lerobot_service import LeRobotService
from vla_ros.serving.local_socket import LocalSocket
from vla_ros.serving.openpi_service import OpenpiService
from vla_ros.serving.policy_worker import PolicyWorker
from vla_ros.serving.server import Front
from vla_ros.serving.status_service import Status, StatusService
from vla_ros.serving.zmq_front import ZmqFront, ZmqService
from vla_ros.wire.gr00t import http
from vla_ros.wire.gr00t.wires import Gr00tWire

GR00T, GR00T_HTTP, LEROBOT, ACT, OPENPI = "gr00t", "gr00t_http", "lerobot", "act", "openpi"
# The protocols, and where they are served. ACT's clients expect 5555, openpi's 8000, which are
# GR00T's too; all protocols have a place beside each other.
PORTS = {GR00T: 5555, GR00T_HTTP: http.PORT, LEROBOT: 8080, ACT: 5556, OPENPI: 8001}
# What the program calls them where several are served at once.
FLAGS = {GR00T: "zmq", GR00T_HTTP: "http", LEROBOT: "lerobot", ACT: "act", OPENPI: "websocket"}
# Whose clients cannot say a token.
TOKENLESS = (LEROBOT, ACT)
# The GR00T wires whose clients understand one and the same description of the policy.
BOTH = "A6+B"
MEBIBYTE = 1024 * 1024
_DECODERS = min(4, os.cpu_count() or 1)


@dataclass(frozen=True, slots=True)
class Served:
    """What all fronts have in common.

    Attributes:
        options: What the program was told; see ``policy_server``.
        worker: What does what is asked of the policy.
        policy: What is served.
        status: What is told of the server itself over HTTP.
    """

    options: argparse.Namespace
    worker: PolicyWorker
    policy: PolicySpec
    status: Status

    @property
    def max_bytes(self) -> int:
        """A longer request is refused."""
        return int(self.options.max_message_mib * MEBIBYTE)

    @property
    def address(self) -> dict[str, Any]:
        """What a front is told of its place, beside the port."""
        return {"host": self.options.host, "max_bytes": self.max_bytes}


def ports_of(options: argparse.Namespace) -> dict[str, int]:
    """Protocol to port, of all that the options name.

    Raises:
        ConfigError: They are named in both ways, or an option is none of theirs.
    """
    ports = {name: port for name in PORTS if (port := getattr(options, name)) is not None}
    if ports and (options.protocol is not None or options.port is not None):
        said = ", ".join(f"--{FLAGS[name]}" for name in ports)
        raise ConfigError(f"--protocol and --port name one protocol, {said} name any: take either")
    if not ports:
        name = options.protocol or GR00T
        ports = {name: PORTS[name] if options.port is None else options.port}
    _refuse_others(options, ports)
    return ports


def make_fronts(served: Served) -> dict[str, Front]:
    """What serves each protocol that the options name, listening already.

    Raises:
        ConfigError: An option is wrong or not a protocol's, an address cannot be listened at, or a
            library is missing.
    """
    fronts = {name: _MAKE[name](served, port) for name, port in ports_of(served.options).items()}
    if served.options.metrics is not None:
        fronts["metrics"] = HttpFront(
            StatusService(served.status),
            served.worker,
            port=served.options.metrics,
            **served.address,
        )
    return fronts


def delays(mean_s: float, jitter_s: float, chance: random.Random) -> Callable[[], float]:
    """Draws how late an answer is [s]: evenly around the mean, and never early."""
    return lambda: max(0.0, mean_s + chance.uniform(-jitter_s, jitter_s))


def _gr00t(served: Served, port: int) -> Front:
    wire = served.options.modality_wire
    local = LocalSocket()
    service = Gr00tService(
        served.policy,
        api_token=served.options.api_token,
        modality_wire=None if wire == BOTH else Gr00tWire(wire),
        max_bytes=served.max_bytes,
        ipc=local.address,
        # Has no thread before the first image that came as a JPEG file.
        each=ThreadPoolExecutor(_DECODERS, "jpeg").map,
    )
    return _zmq_front(service, served, port, local)


def _act(served: Served, port: int) -> Front:
    return _zmq_front(ActService(served.policy, max_bytes=served.max_bytes), served, port)


def _zmq_front(
    service: ZmqService, served: Served, port: int, local: LocalSocket | None = None
) -> Front:
    host = served.options.host
    address = f"tcp://{f'[{host}]' if ':' in host else host}:{port or '*'}"
    return ZmqFront(
        service, served.worker, address=address, max_bytes=served.max_bytes, local=local
    )


def _gr00t_http(served: Served, port: int) -> Front:
    service = Gr00tHttpService(
        served.policy,
        served.status,
        api_token=served.options.api_token,
        max_bytes=served.max_bytes,
    )
    return HttpFront(service, served.worker, port=port, **served.address)


def _lerobot(served: Served, port: int) -> Front:
    try:
        # gRPC is needed here alone.
        from vla_ros.serving.grpc_front import GrpcFront  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(
            f"LeRobot's protocol needs a Python package that cannot be imported: {error}"
        ) from error
    service = LeRobotService(
        served.policy, checkpoints=served.options.allow_checkpoint, max_bytes=served.max_bytes
    )
    return GrpcFront(service, served.worker, port=port, **served.address)


def _openpi(served: Served, port: int) -> Front:
    try:
        # An extra; a robot that speaks otherwise needs none.
        from vla_ros.serving.websocket_front import WebsocketFront  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(
            "openpi's protocol needs websockets, 13 or later: pip install 'vla_ros[openpi]':"
            f" {error}"
        ) from error
    service = OpenpiService(
        served.policy, api_token=served.options.api_token, max_bytes=served.max_bytes
    )
    return WebsocketFront(service, served.worker, port=port, **served.address)


_MAKE: dict[str, Callable[[Served, int], Front]] = {
    GR00T: _gr00t,
    GR00T_HTTP: _gr00t_http,
    LEROBOT: _lerobot,
    ACT: _act,
    OPENPI: _openpi,
}


def _refuse_others(options: argparse.Namespace, ports: Iterable[str]) -> None:
    """Raises where an option is another protocol's."""
    if options.allow_checkpoint and LEROBOT not in ports:
        raise ConfigError("--allow-checkpoint goes with --protocol lerobot alone")
    if options.modality_wire != BOTH and GR00T not in ports:
        raise ConfigError("--modality-wire goes with --protocol gr00t alone")
    mute = [name for name in ports if name in TOKENLESS]
    if options.api_token is not None and mute:
        raise ConfigError(
            "--api-token, or $VLA_ROS_API_TOKEN: clients of --protocol"
            f" {', '.join(mute)} cannot say it"
        )
