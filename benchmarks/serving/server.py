# SPDX-License-Identifier: Apache-2.0
"""The servers that are compared, each a program: ours, and a strictly serial one.

``python -m benchmarks.serving.server KIND MODEL POLICY [options of policy_server]``; KIND is ours
or serial, MODEL sleep or torch. It says on stderr where it listens and, before that, what an
inference of the torch model costs by batch, as JSON [s].
"""

from __future__ import annotations

import json
import logging
import signal
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import zmq

from benchmarks.serving import sleep_model
from benchmarks.serving.facts import ROBOT, SIDE_PX, described, observations
from vla_ros.backends.base import BatchItem, PolicyBackend
from vla_ros.backends.registry import backend_class
from vla_ros.core.policy_io import actions_by_key, observation_from
from vla_ros.serving.policy_server import make_server
from vla_ros.serving.server_options import parser
from vla_ros.wire.gr00t.action import encode_action
from vla_ros.wire.gr00t.message import decode_request, encode_reply
from vla_ros.wire.gr00t.observation import decode_observation

_LOG = logging.getLogger("benchmark")
_BATCHES = (1, 2, 4, 8, 16)
_REPEATS = 12


def make_backend(model: str, policy: Path) -> PolicyBackend:
    """The policy that is served, not connected yet."""
    robot, spec = described(policy)
    made: Any = sleep_model.Backend if model == "sleep" else backend_class("torch_module")
    backend: PolicyBackend = made(made.Config(), robot=robot, policy=spec)
    return backend


def costs_s(backend: PolicyBackend) -> dict[int, float]:
    """Batch to the median time of an inference, on this machine as it is now."""
    backend.connect()
    size = (SIDE_PX, SIDE_PX)
    seen = observations(backend.policy, max(_BATCHES), size)
    items = [BatchItem(backend, one) for one in seen]
    times: dict[int, list[float]] = {batch: [] for batch in _BATCHES}
    for _ in range(_REPEATS):
        for batch, taken in times.items():
            begun_s = time.perf_counter()
            backend.infer_batch(items[:batch])
            taken.append(time.perf_counter() - begun_s)
    backend.close()
    return {batch: statistics.median(taken) for batch, taken in times.items()}


def serve_ours(backend: PolicyBackend, policy: Path, options: list[str]) -> None:
    """As ``policy_server`` does."""
    given = ["--robot", ROBOT, "--policy", str(policy), "--port", "0", *options]
    server, reloader = make_server(parser().parse_args(given), backend)
    signal.signal(signal.SIGTERM, lambda *_: server.stop())
    signal.set_wakeup_fd(server.wake_fd, warn_on_full_buffer=False)
    server.run()
    reloader.close()


def serve_serially(backend: PolicyBackend) -> None:
    """One request after the other, from its first byte to its reply's last, as upstream does."""
    backend.connect()
    with zmq.Context() as context, context.socket(zmq.REP) as socket:
        socket.bind("tcp://127.0.0.1:*")
        _LOG.info("listening at %s", socket.getsockopt_string(zmq.LAST_ENDPOINT))
        while True:
            socket.send(_answer(backend, socket.recv()))


def _answer(backend: PolicyBackend, data: bytes) -> bytes:
    request, policy = decode_request(data), backend.policy
    given, arrangement = decode_observation(request.data["observation"], policy, request.wire)
    chunk = backend.infer(observation_from(policy, given, stamp_ns=1))
    return encode_reply(encode_action(actions_by_key(policy, chunk), arrangement), request.wire)


def main() -> None:
    """Run the program."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    kind, model, policy, *options = sys.argv[1:]
    backend = make_backend(model, Path(policy))
    if model == "torch":
        # The robots need a core too.
        import torch  # noqa: PLC0415

        torch.set_num_threads(1)
        _LOG.info("costs %s", json.dumps(costs_s(backend)))
    if kind == "ours":
        serve_ours(backend, Path(policy), options)
    else:
        serve_serially(backend)


if __name__ == "__main__":
    main()
