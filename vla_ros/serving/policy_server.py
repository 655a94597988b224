# SPDX-License-Identifier: Apache-2.0
"""The program ``policy_server``: serves a policy over the wires of GR00T, LeRobot, ACT or openpi.

It listens on the loopback interface unless told otherwise. SIGTERM and SIGINT end it within a
second, with exit status 0; 1 means that the policy failed, 2 that it was told something wrong.
"""

from __future__ import annotations

import argparse
import ipaddress
import logging
import math
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

import yaml

from vla_ros.backends.base import PolicyBackend
from vla_ros.backends.registry import backend_class, backend_names
from vla_ros.core.config_files import config_file
from vla_ros.core.errors import ConfigError, VlaRosError
from vla_ros.core.params import build, describe
from vla_ros.core.policy_spec import load_policy_spec
from vla_ros.core.robot_spec import load_robot_spec
from vla_ros.serving.fronts import BOTH, GR00T, MEBIBYTE, PORTS, TOKENLESS, make_front
from vla_ros.wire.gr00t.wires import Gr00tWire
from vla_ros.wire.limits import DEFAULT_MAX_BYTES

_LOG = logging.getLogger("policy_server")
_MAX_MS = 600_000.0


def parser() -> argparse.ArgumentParser:
    """What the program may be told."""
    made = argparse.ArgumentParser(
        prog="policy_server",
        description="Serves a policy to robots: over GR00T's ZeroMQ or HTTP wire, the gRPC wire"
        " of LeRobot's asynchronous inference, ACT's ZeroMQ wire, or openpi's WebSocket wire.",
    )
    add_policy_options(made)
    _add_serving(made)
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


def add_policy_options(made: argparse.ArgumentParser) -> None:
    """Which policy is meant, and how it is reached; for all programs that ask one."""
    made.add_argument("--robot", required=True, help="robot: a name in config/robots, or a file")
    made.add_argument(
        "--policy", required=True, help="policy: a name in config/policies, or a file"
    )
    made.add_argument(
        "--backend",
        choices=backend_names(),
        help="how the policy is reached; default: what its description says",
    )
    made.add_argument(
        "--backend-option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter of the backend; may be given again",
    )


def make_backend(options: argparse.Namespace) -> PolicyBackend:
    """The backend that the options name, not connected yet.

    Raises:
        ConfigError: A description, the backend or one of its options is wrong.
    """
    robot = load_robot_spec(config_file("robots", options.robot))
    policy = load_policy_spec(config_file("policies", options.policy))
    policy.check_against(robot)
    chosen = backend_class(options.backend or policy.backend)
    config: Any = build(
        chosen.Config,
        parse_options(chosen.Config, options.backend_option),
        where="--backend-option",
    )
    return chosen(config, robot=robot, policy=policy)


def parse_options(config: type, given: Sequence[str]) -> dict[str, Any]:
    """Parameter name to value, from ``name=value`` texts; numbers and lists as in YAML.

    >>> from vla_ros.backends.gr00t_zmq import Gr00tConfig
    >>> parse_options(Gr00tConfig, ["host=10.0.0.7", "port=5556"])
    {'host': '10.0.0.7', 'port': 5556}

    Raises:
        ConfigError: A text has no ``=``, its value is not YAML, or a name stands twice.
    """
    texts = {info.name for info in describe(config) if info.type is str}
    values: dict[str, Any] = {}
    for item in given:
        name, equals, text = item.partition("=")
        if not equals or name in values:
            raise ConfigError(
                f"--backend-option {item!r}: must be NAME=VALUE, and each name stand once"
            )
        try:
            values[name] = text if name in texts else yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"--backend-option {item!r}: is not YAML: {error}") from error
    return values


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def serve(options: argparse.Namespace) -> bool:
    """Serve until a signal or a client ends it.

    Returns:
        Whether the backend let go in time; else its thread still hangs in a call.

    Raises:
        VlaRosError: An option is wrong, or the policy cannot be connected.
    """
    backend = make_backend(options)
    front = make_front(options, backend)
    signal.set_wakeup_fd(front.wake_fd, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: front.stop())
    if not is_loopback(options.host) and options.api_token is None:
        remedy = "keep others away from it" if options.protocol in TOKENLESS else "--api-token"
        _LOG.warning("anybody who reaches %s can use this server: %s", front.address, remedy)
    _LOG.info("listening at %s for policy %s", front.address, backend.policy.name)
    try:
        return front.run()
    finally:
        signal.set_wakeup_fd(-1)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program.

    Returns:
        Its exit status.
    """
    options = parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        ended = serve(options)
    except ConfigError as error:
        _LOG.error("%s", error)
        return 2
    except VlaRosError as error:
        _LOG.error("%s", error)
        return 1
    _LOG.info("ended")
    if not ended:
        # Python would wait for the backend's thread, however long its call takes.
        logging.shutdown()
        os._exit(0)
    return 0


def _add_serving(made: argparse.ArgumentParser) -> None:
    """Who is served, and where."""
    made.add_argument(
        "--protocol",
        choices=tuple(PORTS),
        default=GR00T,
        help="whose clients are served (%(default)s)",
    )
    made.add_argument("--host", default="127.0.0.1", help="address to listen at (%(default)s)")
    made.add_argument(
        "--port",
        type=_within(int, 0, 65535),
        help="port; 0: a free one (default: "
        + ", ".join(f"{port} for {name}" for name, port in PORTS.items())
        + ")",
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


if __name__ == "__main__":
    sys.exit(main())
