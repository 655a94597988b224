# SPDX-License-Identifier: Apache-2.0
"""The program ``policy_server``: serves a policy over the wires of GR00T, LeRobot, ACT and openpi.

It listens on the loopback interface unless told otherwise. SIGTERM and SIGINT end it once the last
requests are answered, with exit status 0; 1 means that the policy failed, 2 that it was told
something wrong. SIGHUP makes it load the policy anew.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from vla_ros.backends.base import PolicyBackend
from vla_ros.core.addresses import is_loopback
from vla_ros.core.errors import ConfigError, VlaRosError
from vla_ros.serving.fronts import TOKENLESS, Served, delays, make_fronts, ports_of
from vla_ros.serving.policy_options import make_backend
from vla_ros.serving.policy_worker import PolicyWorker
from vla_ros.serving.reload import Reloader
from vla_ros.serving.server import PolicyServer
from vla_ros.serving.server_options import parser
from vla_ros.serving.sessions import Sessions
from vla_ros.serving.status_service import Health, Status
from vla_ros.serving.turns import NobodyWatches

if TYPE_CHECKING:
    from vla_ros.serving.metrics import Metrics

_LOG = logging.getLogger("policy_server")


def serve(options: argparse.Namespace) -> bool:
    """Serve until a signal or a client ends it.

    Returns:
        Whether the backend let go in time; else its thread still hangs in a call.

    Raises:
        VlaRosError: An option is wrong, or the policy cannot be connected.
    """
    server, reloader = make_server(options, make_backend(options))
    signal.set_wakeup_fd(server.wake_fd, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.stop())
    signal.signal(signal.SIGHUP, lambda *_: reloader.request())
    try:
        return server.run()
    finally:
        signal.set_wakeup_fd(-1)
        reloader.close()


def make_server(
    options: argparse.Namespace, backend: PolicyBackend
) -> tuple[PolicyServer, Reloader]:
    """A server of a backend, listening already, and what reloads its policy.

    Raises:
        ConfigError: An option is wrong, or an address cannot be listened at.
    """
    metrics = _metrics()
    delay_s = delays(options.latency_ms / 1000, options.latency_jitter_ms / 1000, random.Random())
    worker = PolicyWorker(
        Sessions(backend),
        max_batch=options.max_batch,
        batch_wait_s=options.batch_wait_ms / 1000,
        max_waiting=options.max_waiting,
        delay_s=delay_s,
        watcher=metrics,
    )
    reloader = Reloader(
        lambda: make_backend(options), worker, backend.policy, metrics or NobodyWatches()
    )

    def health() -> Health:
        return Health(worker.state, worker.detail, reloader.outcome)

    status = Status(health, metrics, reloader.request)
    fronts = make_fronts(Served(options, worker, backend.policy, status))
    for name, front in fronts.items():
        _LOG.info("%s: listening at %s for policy %s", name, front.address, backend.policy.name)
    if not is_loopback(options.host) and options.api_token is None:
        mute = any(name in TOKENLESS for name in ports_of(options))
        remedy = "keep others away from it" if mute else "--api-token"
        _LOG.warning("anybody who reaches %s can use this server: %s", options.host, remedy)
    return PolicyServer(worker, list(fronts.values()), drain_s=options.drain_s), reloader


def _metrics() -> Metrics | None:
    try:
        # An extra.
        from vla_ros.serving.metrics import Metrics  # noqa: PLC0415
    except ImportError:
        return None
    return Metrics()


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


if __name__ == "__main__":
    sys.exit(main())
