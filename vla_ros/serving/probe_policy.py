# SPDX-License-Identifier: Apache-2.0
"""The program ``probe_policy``: can this robot be driven by that policy, and how fast?

It connects as a robot would, shows the policy made-up observations, checks what comes back against
the descriptions, and tells how long it took. No robot is needed, and none moves. Exit status: 0,
all answers were good; 1, the policy cannot be reached or used; 2, it was told something wrong.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence

from vla_ros.backends.base import PolicyBackend
from vla_ros.backends.registry import backend_class
from vla_ros.core.addresses import parse_address
from vla_ros.core.config_files import config_file
from vla_ros.core.errors import ConfigError
from vla_ros.core.params import describe
from vla_ros.core.policy_spec import load_policy_spec
from vla_ros.serving.policy_options import add_policy_options, make_backend
from vla_ros.serving.probe import made_up, probe
from vla_ros.serving.probe_advice import advice
from vla_ros.serving.probe_report import report, table

_LOG = logging.getLogger("probe_policy")
_MAX_COUNT = 100_000


def parser() -> argparse.ArgumentParser:
    """What the program may be told."""
    made = argparse.ArgumentParser(
        prog="probe_policy",
        description="Tries a policy server with made-up observations: is it the policy that was"
        " described, are its answers sound, and how long do they take? No robot is needed.",
    )
    add_policy_options(made)
    made.add_argument(
        "--address", metavar="HOST:PORT", help="the policy server's; default: the backend's own"
    )
    made.add_argument(
        "--count", type=int, default=50, help="how many observations to show (%(default)s)"
    )
    made.add_argument("--json", action="store_true", help="write JSON instead of a table")
    return made


def backend_of(options: argparse.Namespace) -> PolicyBackend:
    """The backend that the options name, not connected yet.

    Raises:
        ConfigError: A description, the backend or one of its options is wrong.
    """
    if options.address is None:
        return make_backend(options)
    host, port = parse_address(options.address, where="--address")
    policy = load_policy_spec(config_file("policies", options.policy))
    name = options.backend or policy.backend
    known = {info.name for info in describe(backend_class(name).Config)}
    if not {"host", "port"} <= known:
        raise ConfigError(
            f"--address {options.address}: backend {name!r} asks no server; give the --backend that"
            " speaks the server's protocol, such as gr00t_zmq"
        )
    given = [*options.backend_option, f"host={host}", f"port={port}"]
    return make_backend(argparse.Namespace(**{**vars(options), "backend_option": given}))


def run(options: argparse.Namespace) -> bool:
    """Probe, and write what was found to stdout.

    Returns:
        Whether all answers were good.

    Raises:
        ConfigError: An option is wrong.
    """
    if not 1 <= options.count <= _MAX_COUNT:
        raise ConfigError(f"--count must be in [1, {_MAX_COUNT}], found {options.count}")
    backend = backend_of(options)
    _LOG.info("asking policy %s %d times", backend.policy.name, options.count)
    try:
        found = probe(backend, made_up(backend, options.count))
    finally:
        backend.close()
    hints = advice(found.error, backend, connected=found.info is not None) if found.error else ()
    made = report(backend, found, wanted=options.count, advice=hints)
    sys.stdout.write(f"{json.dumps(made, indent=2)}\n" if options.json else table(made))
    return found.error is None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program.

    Returns:
        Its exit status.
    """
    options = parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        return 0 if run(options) else 1
    except ConfigError as error:
        _LOG.error("%s", error)
        return 2


if __name__ == "__main__":
    sys.exit(main())
