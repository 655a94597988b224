# SPDX-License-Identifier: Apache-2.0
"""What the program ``policy_server`` can be told. For one thread."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable
from typing import Any

from vla_ros.serving.fronts import BOTH, FLAGS, GR00T, MEBIBYTE, PORTS
from vla_ros.serving.policy_options import add_policy_options
from vla_ros.serving.policy_worker import MAX_WAITING
from vla_ros.wire.gr00t.wires import Gr00tWire
from vla_ros.wire.limits import DEFAULT_MAX_BYTES

_MAX_MS = 600_000.0


def parser() -> argparse.ArgumentParser:
    """What the program may be told."""
    made = argparse.ArgumentParser(
        prog="policy_server",
        description="Serves a policy to robots: over GR00T's ZeroMQ or HTTP wire, the gRPC wire"
        " of LeRobot's asynchronous inference, ACT's ZeroMQ wire, and openpi's WebSocket wire.",
    )
    add_policy_options(made)
    _add_serving(made)
    _add_sharing(made)
    made.add_argument(
        "--latency-ms",
        type=_within(float, 0.0, _MAX_MS),
        default=0.0,
        help="how much later actions are answered, to rehearse a real model [ms] (%(default)g)",
    )
    made.add_argument(
        "--latency-jitter-ms",
        type=_within(float, 0.0, _MAX_MS),
        default=0.0,
        help="how far that varies to both sides, evenly [ms] (%(default)g)",
    )
    return made


def _add_serving(made: argparse.ArgumentParser) -> None:
    """Who is served, and where."""
    made.add_argument(
        "--protocol",
        choices=tuple(PORTS),
        help=f"whose clients are served, where it is one protocol alone ({GR00T})",
    )
    made.add_argument("--host", default="127.0.0.1", help="address to listen at (%(default)s)")
    made.add_argument(
        "--port",
        type=_within(int, 0, 65535),
        help="its port; 0: a free one (default: the protocol's, as below)",
    )
    for name, port in PORTS.items():
        made.add_argument(
            f"--{FLAGS[name]}",
            dest=name,
            nargs="?",
            const=port,
            type=_within(int, 0, 65535),
            metavar="PORT",
            help=f"serve {name}, beside the others that are named in this way ({port})",
        )
    made.add_argument(
        "--metrics",
        type=_within(int, 0, 65535),
        metavar="PORT",
        help="serve /metrics, for Prometheus, and /health at a port of their own; the HTTP of"
        " GR00T has them too",
    )
    made.add_argument(
        "--api-token",
        default=os.environ.get("VLA_ROS_API_TOKEN") or None,
        help="what clients must say to be let in; default: $VLA_ROS_API_TOKEN, else nothing."
        " LeRobot's and ACT's have no way to say it",
    )
    made.add_argument(
        "--modality-wire",
        choices=(BOTH, *(wire.value for wire in Gr00tWire)),
        default=BOTH,
        help="whose form get_modality_config takes; GR00T clients of N1.5 need A5 (%(default)s)",
    )
    made.add_argument(
        "--allow-checkpoint",
        action="append",
        default=[],
        metavar="NAME",
        help="a checkpoint that LeRobot's clients may ask for, whereupon they get this policy; may"
        " be given again; default: the one that the policy's description names",
    )
    made.add_argument(
        "--max-message-mib",
        type=_within(float, 0.001, 1024.0),
        default=DEFAULT_MAX_BYTES / MEBIBYTE,
        help="a longer request is refused [MiB] (%(default)g)",
    )


def _add_sharing(made: argparse.ArgumentParser) -> None:
    """How the clients share one policy, and how it ends."""
    made.add_argument(
        "--max-batch",
        type=_within(int, 1, 1024),
        help="how many observations are inferred at once at most; default: as the backend can",
    )
    made.add_argument(
        "--batch-wait-ms",
        type=_within(float, 0.0, 1000.0),
        default=5.0,
        help="how long a free policy waits for the observations of others who are at work, to"
        " infer them together [ms] (%(default)g)",
    )
    made.add_argument(
        "--max-waiting",
        type=_within(int, 1, 65536),
        default=MAX_WAITING,
        help="how many clients may wait; more are told that the server is overloaded (%(default)s)",
    )
    made.add_argument(
        "--drain-s",
        type=_within(float, 0.0, 3600.0),
        default=5.0,
        help="how long requests may take to be answered after SIGTERM or SIGINT, which a second"
        " one cuts short [s] (%(default)g)",
    )


def _within(kind: type[int] | type[float], minimum: float, maximum: float) -> Callable[[str], Any]:
    """Reads a number of a range; argparse shows what it raises."""

    def read(text: str) -> int | float:
        try:
            number = kind(text)
        except ValueError:
            number = math.nan
        if not minimum <= number <= maximum:
            raise argparse.ArgumentTypeError(
                f"must be {kind.__name__} of {minimum:g} to {maximum:g}, found {text!r}"
            )
        return number

    return read
