# SPDX-License-Identifier: Apache-2.0
"""NVIDIA's own GR00T server and client, run from a checkout, with a policy that needs no model.

A program of its own, because several generations cannot be imported into one process::

    python gr00t_peer.py serve CHECKOUT PORT [--sim-wrapper] [--api-token TOKEN]
    python gr00t_peer.py call CHECKOUT PORT [--flat] [--api-token TOKEN]
    python gr00t_peer.py golden CHECKOUT FOLDER
    python gr00t_peer.py time CHECKOUT PORT   # for each number of requests on stdin, their times

Everything that touches the wire is NVIDIA's; torch and the like are replaced by empty stand-ins,
and the model by ``moves``. Exit status 77: the checkout needs a package that is not installed.
"""

from __future__ import annotations

import argparse
import importlib.abc
import importlib.machinery
import json
import sys
import time
import types
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

HORIZON = 16
VIDEO = ("front", "wrist")
STATE = {"single_arm": 5, "gripper": 1}
INSTRUCTION = "annotation.human.task_description"
STAND_INS = frozenset(
    {
        *("albumentations", "av", "decord", "diffusers", "einops", "huggingface_hub", "pandas"),
        *("pytorch3d", "torch", "torchcodec", "torchvision", "tqdm", "transformers", "tree"),
    }
)
SKIPPED = 77


class _AnythingType(type):
    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _AnythingType(name, (_Anything,), {})


class _Anything(metaclass=_AnythingType):
    """May be inherited from, called, entered, subscribed, and used as a decorator."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        del arguments, named

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        del named
        return arguments[0] if arguments else _Anything()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Anything()

    def __class_getitem__(cls, item: Any) -> Any:
        return cls

    def __init_subclass__(cls, **named: Any) -> None:
        del named

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *error: object) -> None:
        pass


class _Module(types.ModuleType):
    __path__: ClassVar[list[str]] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _AnythingType(name, (_Anything,), {})


class _StandIns(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, fullname: str, path: Any, target: Any = None) -> Any:
        del path, target
        if fullname.split(".", maxsplit=1)[0] not in STAND_INS:
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: Any) -> types.ModuleType:
        return _Module(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        pass


def moves(state: np.ndarray) -> np.ndarray:
    """(B, H, D) float32: from a state (B, T, D), one hundredth further at each step."""
    steps = np.arange(HORIZON, dtype=np.float32)[None, :, None] / 100
    return (state[:, -1:].astype(np.float32) + steps).astype(np.float32)


def _config(make: Any, *, prefixed: bool) -> dict[str, Any]:
    def modality(kind: str, keys: Any, deltas: list[int]) -> Any:
        named = [f"{kind}.{key}" if prefixed else key for key in keys]
        return make(delta_indices=deltas, modality_keys=named)

    return {
        "video": modality("video", VIDEO, [0]),
        "state": modality("state", STATE, [0]),
        "action": modality("action", STATE, list(range(HORIZON))),
        "language": make(delta_indices=[0], modality_keys=[INSTRUCTION]),
    }


class N15:
    """N1.5, wire A5."""

    def __init__(self) -> None:
        robot = import_module("gr00t.eval.robot")
        make_config = import_module("gr00t.data.dataset").ModalityConfig

        class Policy(import_module("gr00t.model.policy").Gr00tPolicy):
            def __init__(self) -> None:
                self._modality_config = _config(make_config, prefixed=True)

            def apply_transforms(self, obs: Any) -> Any:
                return obs

            def _get_action_from_normalized_input(self, normalized_input: Any) -> Any:
                return {key: moves(normalized_input[f"state.{key}"]) for key in STATE}

            def _get_unnormalized_action(self, normalized_action: Any) -> Any:
                return {f"action.{key}": value for key, value in normalized_action.items()}

        self.serializer = import_module("gr00t.eval.service").MsgSerializer
        self._policy = Policy
        self._server, self._client = robot.RobotInferenceServer, robot.RobotInferenceClient

    def server(self, port: int, token: str | None, *, sim_wrapper: bool) -> Any:
        assert not sim_wrapper, "N1.5 has no simulation wrapper"
        return self._server(self._policy(), host="127.0.0.1", port=port, api_token=token)

    def client(self, port: int, token: str | None) -> Any:
        return self._client(host="127.0.0.1", port=port, api_token=token)

    def answer(self, observation: dict[str, Any]) -> Any:
        return self._policy().get_action(observation)

    def modality(self) -> Any:
        return self._policy().get_modality_config()


class N16:
    """N1.6 and later, wires A6 and B."""

    def __init__(self) -> None:
        policies = import_module("gr00t.policy.gr00t_policy")
        wire = import_module("gr00t.policy.server_client")
        make_config = import_module("gr00t.data.types").ModalityConfig

        class Policy(policies.Gr00tPolicy):
            def __init__(self) -> None:
                self.strict = True
                self.modality_configs = _config(make_config, prefixed=False)
                self.language_key = INSTRUCTION

            def _get_action(self, observation: Any, options: Any = None) -> Any:
                return {key: moves(observation["state"][key]) for key in STATE}, {}

        self.serializer = wire.MsgSerializer
        self._policy, self._wrapper = Policy, policies.Gr00tSimPolicyWrapper
        self._server, self._client = wire.PolicyServer, wire.PolicyClient

    def server(self, port: int, token: str | None, *, sim_wrapper: bool) -> Any:
        policy = self._wrapper(self._policy()) if sim_wrapper else self._policy()
        return self._server(policy, host="127.0.0.1", port=port, api_token=token)

    def client(self, port: int, token: str | None) -> Any:
        return self._client(host="127.0.0.1", port=port, api_token=token)

    def answer(self, observation: dict[str, Any]) -> Any:
        return self._policy().get_action(observation)

    def modality(self) -> Any:
        return self._policy().get_modality_config()


def observation(*, layout: str) -> dict[str, Any]:
    """Two small images, six joints and an instruction, as a generation's client sends them."""
    pixels = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 1, 3, 4, 3)
    arm = np.arange(5, dtype=np.float32)[None] / 8
    gripper = np.array([[0.75]], dtype=np.float32)
    text = "Put the red cube on the plate."
    if layout == "N1.5":
        return {
            "video.front": pixels[0], "video.wrist": pixels[1],
            "state.single_arm": arm, "state.gripper": gripper, INSTRUCTION: [text],
        }  # fmt: skip
    if layout == "flat":
        return {
            "video.front": pixels[:1], "video.wrist": pixels[1:],
            "state.single_arm": arm[None], "state.gripper": gripper[None], INSTRUCTION: [text],
        }  # fmt: skip
    return {
        "video": {"front": pixels[:1], "wrist": pixels[1:]},
        "state": {"single_arm": arm[None], "gripper": gripper[None]},
        "language": {INSTRUCTION: [[text]]},
    }


def call(peer: Any, port: int, token: str | None, *, flat: bool) -> dict[str, Any]:
    """What a client gets from the server at a port, each endpoint once."""
    client = peer.client(port, token)
    seen: dict[str, Any] = {"ping": client.ping()}
    config = client.get_modality_config()
    seen["modality"] = {
        name: [type(item).__name__, item.delta_indices, item.modality_keys]
        for name, item in config.items()
    }
    old = isinstance(peer, N15)
    answer = client.get_action(observation(layout="N1.5" if old else "flat" if flat else "nested"))
    actions, seen["info"] = (answer, None) if old else answer
    seen["action"] = {key: value.tolist() for key, value in actions.items()}
    seen["dtype"] = {key: str(value.dtype) for key, value in actions.items()}
    try:
        seen["reset"] = client.call_endpoint("reset", {}) if old else client.reset()
        client.call_endpoint("no_such_endpoint", {})
    except RuntimeError as error:
        seen["error"] = str(error)
    return seen


def golden(peer: Any, folder: Path) -> None:
    """Writes what the checkout's own serializer makes of every message."""
    old = isinstance(peer, N15)
    nested = observation(layout="N1.5" if old else "nested")
    flat = observation(layout="N1.5" if old else "flat")

    def data(tree: dict[str, Any]) -> Any:
        return tree if old else {"observation": tree, "options": None}

    messages: dict[str, Any] = {
        "ping_request": {"endpoint": "ping"},
        "ping_reply": {"status": "ok", "message": "Server is running"},
        "kill_request": {"endpoint": "kill", "api_token": "secret"},
        "kill_reply": None,
        "reset_request": {"endpoint": "reset", "data": {"options": None}},
        "reset_reply": {},
        "get_modality_config_request": {"endpoint": "get_modality_config"},
        "get_modality_config_reply": peer.modality(),
        "get_action_request": {"endpoint": "get_action", "data": data(nested)},
        "get_action_reply": peer.answer(nested),
        "error_reply": {"error": "Unknown endpoint: nothing"},
    }
    if not old:
        messages["get_action_flat_request"] = {"endpoint": "get_action", "data": data(flat)}
        actions, info = messages["get_action_reply"]
        renamed = {f"action.{key}": value for key, value in actions.items()}
        messages["get_action_flat_reply"] = (renamed, info)
    folder.mkdir(parents=True, exist_ok=True)
    for name, message in messages.items():
        (folder / f"{name}.msgpack").write_bytes(peer.serializer.to_bytes(message))


def time_requests(peer: Any, port: int, token: str | None) -> None:
    """Shows two images of 480x640 as often as is said on stdin; prints how long each took [s]."""
    client = peer.client(port, token)
    shown = observation(layout="N1.5" if isinstance(peer, N15) else "nested")
    images = np.random.default_rng(0).integers(0, 255, (2, 1, 480, 640, 3), np.uint8)
    if isinstance(peer, N15):
        shown.update({f"video.{key}": image for key, image in zip(VIDEO, images, strict=True)})
    else:
        shown["video"] = {key: image[None] for key, image in zip(VIDEO, images, strict=True)}
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            begun_s = time.perf_counter()
            client.get_action(shown)
            times.append(time.perf_counter() - begun_s)
        sys.stdout.write(f"{json.dumps(times)}\n")
        sys.stdout.flush()


def main() -> int:
    """Runs one role; see above."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("role", choices=("serve", "call", "golden", "time"))
    parser.add_argument("checkout", type=Path)
    parser.add_argument("target")
    parser.add_argument("--api-token")
    parser.add_argument("--flat", action="store_true")
    parser.add_argument("--sim-wrapper", action="store_true")
    options = parser.parse_args()
    sys.path.insert(0, str(options.checkout))
    sys.meta_path.append(_StandIns())
    newer = (options.checkout / "gr00t/policy/server_client.py").is_file()
    try:
        peer: Any = N16() if newer else N15()
    except ModuleNotFoundError as error:
        sys.stderr.write(f"{options.checkout} needs {error.name}, which is not installed\n")
        return SKIPPED
    if options.role == "golden":
        golden(peer, Path(options.target))
    elif options.role == "time":
        time_requests(peer, int(options.target), options.api_token)
    elif options.role == "serve":
        token = options.api_token
        peer.server(int(options.target), token, sim_wrapper=options.sim_wrapper).run()
    else:
        seen = call(peer, int(options.target), options.api_token, flat=options.flat)
        sys.stdout.write(json.dumps(seen) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
