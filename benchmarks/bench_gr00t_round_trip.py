# SPDX-License-Identifier: Apache-2.0
"""Round trips of an observation of two cameras, 480x640, to servers that think for no time [ms].

Beside each other, in turns, so that what else the machine does disturbs all alike: the same bytes
over bare ZeroMQ; our client and NVIDIA's at a program that knows the answers by heart, which shows
what the client costs; and both at our policy server, which reads what they send.

VLA_ROS_GR00T_SOURCES lists checkouts of Isaac-GR00T, as for ``test/peers``; without it, NVIDIA's
clients are left out.
"""

from __future__ import annotations

import json
import os
import random
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import zmq

from vla_ros.backends.gr00t_zmq import Backend, Gr00tConfig
from vla_ros.core.config_files import config_file
from vla_ros.core.observation import Observation
from vla_ros.core.policy_io import policy_input
from vla_ros.core.policy_spec import load_policy_spec
from vla_ros.core.robot_spec import load_robot_spec
from vla_ros.serving.local_socket import LocalSocket
from vla_ros.sim.scene_file import load_scene_spec
from vla_ros.sim.world import World
from vla_ros.wire.gr00t.action import encode_action
from vla_ros.wire.gr00t.capabilities import Capabilities, encode_capabilities, marked
from vla_ros.wire.gr00t.jpeg import JpegQuality, encode_images
from vla_ros.wire.gr00t.message import Request, encode_reply, encode_request
from vla_ros.wire.gr00t.modality import encode_modality, modality_of
from vla_ros.wire.gr00t.observation import encode_observation
from vla_ros.wire.gr00t.wires import Arrangement, Gr00tWire, Layout

ROBOT, POLICY = "so101_sim", "so101_gr00t"
PEER = Path(__file__).parents[1] / "test/peers/gr00t_peer.py"
SOURCES = [Path(text) for text in os.environ.get("VLA_ROS_GR00T_SOURCES", "").split(":") if text]
RECORDINGS = Path(__file__).parents[2] / "shared/data/gr1_pick_and_place"
ROUNDS, IN_A_ROW = 20, 15

Times = Callable[[int], list[float]]

# Answers what stands for the endpoint that is named in the request, and looks at nothing else.
_BY_HEART = """
import json, sys, zmq
socket = zmq.Context().socket(zmq.REP)
print(socket.bind_to_random_port("tcp://127.0.0.1"), flush=True)
socket.bind(sys.argv[1])
copy = sys.argv[2] == "copy"
known = {name.encode(): bytes.fromhex(text) for name, text in json.loads(sys.argv[3]).items()}
while True:
    first = bytes(memoryview(socket.recv_multipart(copy=copy)[0])[:100])
    socket.send(next((reply for name, reply in known.items() if name in first), b""))
"""


def timed(call: Callable[[], object]) -> Times:
    def times(count: int) -> list[float]:
        taken = []
        for _ in range(count):
            begun_s = time.perf_counter()
            call()
            taken.append(time.perf_counter() - begun_s)
        return taken

    return times


@contextmanager
def server(wire: str) -> Iterator[int]:
    """A policy server of ours; its port."""
    command = [sys.executable, "-m", "vla_ros.serving.policy_server", "--backend", "hold"]
    options = ["--robot", ROBOT, "--policy", POLICY, "--port", "0", "--modality-wire", wire]
    with subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            lines = (re.search(r"listening at tcp://[^ ]+:(\d+)", line) for line in process.stderr)
            yield next(int(found[1]) for found in lines if found)
        finally:
            process.terminate()


@contextmanager
def by_heart(replies: Mapping[str, bytes], local: str, *, copy: bool = True) -> Iterator[int]:
    """A program that answers each endpoint with the same bytes, at a local socket too; its port."""
    known = json.dumps({name: reply.hex() for name, reply in replies.items()})
    command = [sys.executable, "-c", _BY_HEART, local, "copy" if copy else "no copy", known]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())
        process.terminate()


@contextmanager
def bare(request: bytes, reply: bytes, *, copy: bool, ipc: bool = False) -> Iterator[Times]:
    """The same bytes to a program that looks at nothing."""
    local = LocalSocket()
    with (
        by_heart({"get_action": reply}, local.address, copy=copy) as port,
        zmq.Context() as context,
        context.socket(zmq.REQ) as client,
    ):
        client.connect(local.address if ipc else f"tcp://127.0.0.1:{port}")

        def call() -> None:
            client.send(request, copy=copy)
            client.recv(copy=copy)

        yield timed(call)


@contextmanager
def client(*command: str) -> Iterator[Times]:
    """A client in a process of its own, which is told how often to ask."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, *command], stdin=pipe, stdout=pipe, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        tell, read = process.stdin, process.stdout

        def times(count: int) -> list[float]:
            tell.write(f"{count}\n")
            tell.flush()
            taken: list[float] = json.loads(read.readline())
            return taken

        yield times
        process.terminate()


def theirs(checkout: Path, port: int) -> AbstractContextManager[Times]:
    """NVIDIA's client, from a checkout."""
    return client(str(PEER), "time", str(checkout), str(port))


def ours(port: int, **config: object) -> AbstractContextManager[Times]:
    """Our client."""
    settings = {"port": port, "local_socket": False, "image_encoding": "raw", **config}
    return client("-m", "benchmarks.bench_gr00t_round_trip", json.dumps(settings))


def be_ours(settings: Mapping[str, Any]) -> None:
    """Our client's process."""
    shown = observation(recorded() or rendered())
    backend = Backend(Gr00tConfig(**settings), robot=THE_ROBOT, policy=THE_POLICY)
    backend.connect()
    times = timed(lambda: backend.infer(shown))
    for line in sys.stdin:
        sys.stdout.write(f"{json.dumps(times(int(line)))}\n")
        sys.stdout.flush()


def wire_of(checkout: Path) -> str:
    """The wire that a checkout's programs speak."""
    newer = checkout / "gr00t/policy/server_client.py"
    if not newer.is_file():
        return "A5"
    return "B" if "msgpack_numpy" in newer.read_text() else "A6"


def observation(pictures: list[np.ndarray]) -> Observation:
    images = dict(zip(THE_ROBOT.cameras, pictures, strict=False))
    names = THE_ROBOT.state_names
    return Observation(1, "put the red cube on the plate", images, names, np.zeros(len(names)))


def rendered() -> list[np.ndarray]:
    """What the simulated robot's cameras see, and one of them once more, later."""
    cameras = {
        name: replace(camera, height=480, width=640) for name, camera in THE_ROBOT.cameras.items()
    }
    scene = load_scene_spec(config_file("sim", "so101_table"))
    world = World(replace(THE_ROBOT, cameras=cameras), scene)
    world.reset(1)
    images = [world.render(name) for name in cameras]
    world.reset(2)
    return [*images, world.render(next(iter(cameras)))][:3]


def recorded() -> list[np.ndarray]:
    """Frames of recordings side by side, none of them scaled; none where they are not there."""
    frames = []
    for path in sorted(RECORDINGS.glob("*.mp4")):
        video = cv2.VideoCapture(str(path))
        for index in np.linspace(0, video.get(cv2.CAP_PROP_FRAME_COUNT) - 1, 9).astype(int):
            video.set(cv2.CAP_PROP_POS_FRAMES, int(index))
            frames.append(cv2.cvtColor(video.read()[1], cv2.COLOR_BGR2RGB))
    tiles = [frames[start : start + 6] for start in range(0, len(frames) - 5, 6)][:3]
    return [
        np.ascontiguousarray(np.concatenate([np.hstack(six[:3]), np.hstack(six[3:])])[:480, :640])
        for six in tiles
    ]


def replies(wire: Gr00tWire, *, local: str = "") -> dict[str, bytes]:
    """What a server of a wire answers; ours has a local socket."""
    modality = encode_modality(modality_of(THE_POLICY), wire)
    old = wire is Gr00tWire.A5
    layout = Layout.FLAT if old else Layout.NESTED
    zeros = {
        key: np.zeros((THE_POLICY.horizon, len(mapping.interfaces)))
        for key, mapping in THE_POLICY.action.items()
    }
    actions = encode_action(zeros, Arrangement(wire, layout, batched=not old))
    can = Capabilities(jpeg=True, multipart=True, ipc=local)
    return {
        "get_modality_config": encode_reply(marked(modality) if local else modality, wire),
        "get_capabilities": encode_reply(encode_capabilities(can), wire),
        "get_action": encode_reply(actions, wire),
    }


def round_trips(pictures: list[np.ndarray]) -> None:
    shown = observation(pictures)
    tree = encode_observation(
        policy_input(THE_POLICY, shown), Arrangement(Gr00tWire.B, Layout.NESTED)
    )
    request = encode_request(Request("get_action", {"observation": tree, "options": None}))
    rows: dict[str, Times] = {}
    with ExitStack() as stack:
        answer = replies(Gr00tWire.B)["get_action"]
        for name, config in {
            "pyzmq's defaults": {"copy": True},
            "without copies": {"copy": False},
            "ipc, without copies": {"copy": False, "ipc": True},
        }.items():
            rows[f"bare ZeroMQ, {name}"] = stack.enter_context(bare(request, answer, **config))
        sockets = [LocalSocket() for _ in range(4)]
        ports = {
            wire.value: by_heart(replies(wire), local.address)
            for wire, local in zip(Gr00tWire, sockets, strict=False)
        }
        local = sockets[-1].address
        more = by_heart(replies(Gr00tWire.B, local=local), local, copy=False)
        for where, (known, extended) in {
            "by heart": (ports, more),
            "policy_server": ({wire: server(wire) for wire in ports}, server("A6+B")),
        }.items():
            at = {wire: stack.enter_context(running) for wire, running in known.items()}
            new = stack.enter_context(extended)
            for wire, port in at.items():
                rows[f"{where}: ours, {wire}"] = stack.enter_context(ours(port))
                for checkout in SOURCES:
                    if wire_of(checkout) == wire:
                        rows[f"{where}: NVIDIA's of {checkout.name}, {wire}"] = stack.enter_context(
                            theirs(checkout, port)
                        )
            rows[f"{where}: ours, in parts"] = stack.enter_context(ours(new))
            for name, config in {
                "in parts, ipc": {"local_socket": True},
                "JPEG": {"image_encoding": "jpeg"},
            }.items():
                rows[f"{where}: ours, {name}"] = stack.enter_context(ours(new, **config))
        taken: dict[str, list[float]] = {name: [] for name in rows}
        order = list(rows)
        for _ in range(ROUNDS):
            # Nobody always comes after the same one.
            random.shuffle(order)
            for name in order:
                taken[name] += rows[name](IN_A_ROW)
    base = statistics.median(next(iter(taken.values())))
    print(f"{len(request)} bytes, {ROUNDS * IN_A_ROW} times          p10   median      p90  x bare")
    for name, seconds in taken.items():
        p10, *_, p90 = statistics.quantiles(seconds, n=10)
        middle = statistics.median(seconds)
        columns = f"{p10 * 1e3:8.2f} {middle * 1e3:8.2f} {p90 * 1e3:8.2f}"
        print(f"{name:38} {columns} {middle / base:7.2f}")


def jpeg_sizes(what: str, pictures: list[np.ndarray]) -> None:
    """How much shorter images get."""
    video = {str(index): image for index, image in enumerate(pictures)}
    raw = sum(image.nbytes for image in pictures)
    for quality in (JpegQuality(), JpegQuality(full_color=True)):
        request = {"observation": encode_images(video, quality)}
        length = len(encode_request(Request("get_action", request)))
        colours = "4:4:4" if quality.full_color else "4:2:0"
        print(
            f"{len(pictures)} {what} images of 480x640 as JPEG {quality.quality}, {colours}:"
            f" {length} of {raw} bytes, 1/{raw / length:.1f}"
        )


if __name__ == "__main__":
    THE_ROBOT = load_robot_spec(config_file("robots", ROBOT))
    THE_POLICY = load_policy_spec(config_file("policies", POLICY))
    if len(sys.argv) > 1:
        be_ours(json.loads(sys.argv[1]))
        sys.exit()
    ALL = {"rendered": rendered(), "recorded": recorded()}
    round_trips(ALL["recorded"] or ALL["rendered"])
    for name, some in ALL.items():
        if some:
            jpeg_sizes(name, some)
