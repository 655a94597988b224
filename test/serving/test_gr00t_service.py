# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import msgpack
import numpy as np
import pytest

from test.support.asked import CLIENT, answer
from test.support.golden_backend import GoldenBackend, error_of
from test.support.golden_server import golden
from test.support.gr00t_samples import (
    HORIZON,
    INSTRUCTION,
    INSTRUCTION_KEY,
    NAMES,
    POLICY,
    STAMP_NS,
    observation,
    policy,
)
from vla_ros.core.errors import BackendUnavailable
from vla_ros.core.observation import ObservationRequest, Prefix
from vla_ros.core.policy_io import policy_input
from vla_ros.serving.asked import Inference, Reset
from vla_ros.serving.gr00t_service import Gr00tService
from vla_ros.wire.gr00t.capabilities import Capabilities, decode_capabilities, is_marked
from vla_ros.wire.gr00t.jpeg import JpegQuality
from vla_ros.wire.gr00t.message import Request, encode_request, encode_request_parts
from vla_ros.wire.gr00t.observation import encode_observation
from vla_ros.wire.gr00t.options import encode_options
from vla_ros.wire.gr00t.wires import Arrangement, Gr00tWire, Layout

A5, A6, B = Gr00tWire.A5, Gr00tWire.A6, Gr00tWire.B
LARGE = np.zeros((100, 100, 3), np.uint8)


@pytest.fixture
def backend() -> GoldenBackend:
    return GoldenBackend()


@pytest.fixture
def service(backend: GoldenBackend) -> Gr00tService:
    return Gr00tService(backend.policy, max_bytes=10_000, now_ns=lambda: 77)


def tree(arrangement: Arrangement | None = None) -> dict[str, Any]:
    given = policy_input(policy(), observation())
    return encode_observation(given, arrangement or Arrangement(B, Layout.NESTED))


def action_request(observed: Any, options: Any = None, wire: Gr00tWire = B) -> bytes:
    data = {"observation": observed, "options": options}
    return encode_request(Request("get_action", data, wire=wire))


@pytest.mark.parametrize(
    ("wire", "name"),
    [
        (A5, "get_action"),
        (A6, "get_action"),
        (B, "get_action"),
        (A6, "get_action_flat"),
        (B, "get_action_flat"),
        *((wire, name) for wire in Gr00tWire for name in ("ping", "reset")),
    ],
)
def test_nvidias_requests_get_nvidias_replies(
    service: Gr00tService, backend: GoldenBackend, wire: Gr00tWire, name: str
):
    assert answer(service, backend, golden(wire, f"{name}_request")) == golden(
        wire, f"{name}_reply"
    )


@pytest.mark.parametrize("wire", [A5, A6, B])
def test_the_backend_sees_what_was_sent(
    service: Gr00tService, backend: GoldenBackend, wire: Gr00tWire
):
    answer(service, backend, golden(wire, "get_action_request"))

    (seen,) = backend.seen
    assert (seen.stamp_ns, seen.request, seen.instruction) == (77, None, INSTRUCTION)
    assert seen.state_names == NAMES
    np.testing.assert_array_equal(seen.state, observation().state)
    for camera, image in observation().images.items():
        np.testing.assert_array_equal(seen.images[camera], image)
    assert backend.prefixes == [None]


@pytest.mark.parametrize("wire", list(Gr00tWire))
def test_the_modality_is_told_in_the_form_that_was_chosen(backend: GoldenBackend, wire: Gr00tWire):
    service = Gr00tService(backend.policy, modality_wire=wire)

    reply = answer(service, backend, golden(wire, "get_modality_config_request"))

    assert reply == golden(wire, "get_modality_config_reply")


def test_without_a_choice_the_modality_is_marked_for_n16_and_n17(
    service: Gr00tService, backend: GoldenBackend
):
    reply = msgpack.unpackb(answer(service, backend, golden(B, "get_modality_config_request")))

    assert {"__ModalityConfig_class__", "__ModalityConfig__"} < reply["action"].keys()
    assert is_marked(reply)


def test_what_it_can_do_beyond_gr00ts_wires_is_told(backend: GoldenBackend):
    service = Gr00tService(backend.policy, ipc="ipc:///tmp/there")

    reply = service.begin(encode_request(Request("get_capabilities")), CLIENT)

    assert decode_capabilities(msgpack.unpackb(reply)) == Capabilities(
        jpeg=True, multipart=True, ipc="ipc:///tmp/there"
    )


def test_the_link_to_it_may_be_measured(service: Gr00tService, backend: GoldenBackend):
    data = {"bytes": np.zeros(9000, np.uint8)}

    assert service.begin(encode_request(Request("measure_link", data)), CLIENT) == b"\x80"
    assert backend.seen == []


@pytest.mark.parametrize("layout", list(Layout))
def test_images_may_come_as_jpeg_files_in_parts(
    backend: GoldenBackend, layout: Layout, monkeypatch: pytest.MonkeyPatch
):
    threads = set()
    decode = cv2.imdecode

    def noted(*arguments: Any) -> Any:
        threads.add(threading.current_thread().name)
        return decode(*arguments)

    monkeypatch.setattr(cv2, "imdecode", noted)
    noise = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)
    given = policy_input(policy(), observation(images={"head": noise, "hand": noise // 4}))
    seen = encode_observation(given, Arrangement(B, layout), jpeg=JpegQuality())
    first, rest = encode_request_parts(Request("get_action", {"observation": seen}))
    assert len(rest) == 1
    with ThreadPoolExecutor(2, "jpeg") as pool:
        service = Gr00tService(backend.policy, each=pool.map)
        answer(service, backend, first, rest=rest)

    assert [image.shape for image in backend.seen[0].images.values()] == [noise.shape] * 2
    assert all(name.startswith("jpeg") for name in threads)


def test_images_may_not_take_more_memory_than_a_request(backend: GoldenBackend):
    given = policy_input(policy(), observation(images=dict.fromkeys(("head", "hand"), LARGE)))
    seen = encode_observation(given, Arrangement(B, Layout.NESTED), jpeg=JpegQuality())
    service = Gr00tService(backend.policy, max_bytes=2 * LARGE.nbytes - 1)

    text = error_of(answer(service, backend, action_request(seen)))
    assert text.startswith("video key 'wrist': the decoded images would take more than the")


def test_a_batched_request_of_wire_a5_is_answered_so(service: Gr00tService, backend: GoldenBackend):
    data = tree(Arrangement(A5, Layout.FLAT, batched=True))
    reply = answer(service, backend, encode_request(Request("get_action", data, wire=A5)))

    file = msgpack.unpackb(reply)["action.gripper"]["as_npy"]
    assert b"'shape': (1, 16, 1)" in file


def test_float64_state_is_taken(service: Gr00tService, backend: GoldenBackend):
    observed = tree()
    observed["state"] = {key: value.astype(float) for key, value in observed["state"].items()}
    answer(service, backend, action_request(observed))

    np.testing.assert_array_equal(backend.seen[0].state, observation().state)


def test_our_clients_stamp_request_and_prefix_are_passed_on(
    service: Gr00tService, backend: GoldenBackend
):
    request = ObservationRequest(request_id=7, epoch=2, stamp_ns=5, must_go=True)
    prefix = Prefix(NAMES, np.zeros((3, 6)), 0.25, 8)
    answer(
        service,
        backend,
        action_request(tree(), encode_options(observation(request=request), prefix, now_ns=0)),
    )

    assert backend.seen[0].stamp_ns == STAMP_NS
    assert backend.seen[0].request == ObservationRequest(7, 2, STAMP_NS, must_go=False)
    assert backend.prefixes[0] is not None
    assert backend.prefixes[0].inference_delay_s == 0.25


def test_a_reset_reaches_the_backend(service: Gr00tService, backend: GoldenBackend):
    for data in ({}, {"options": None}, {"options": {"episode_index": 1}}):
        assert answer(service, backend, encode_request(Request("reset", data))) == b"\x80"

    assert backend.resets == 3


def test_only_what_needs_the_policy_is_put_off(service: Gr00tService):
    for wire in Gr00tWire:
        for name in ("ping", "get_modality_config", "kill"):
            assert isinstance(service.begin(golden(wire, f"{name}_request"), CLIENT), bytes)
        for name, kind in (("get_action", Inference), ("reset", Reset)):
            assert isinstance(service.begin(golden(wire, f"{name}_request"), CLIENT), kind)


def test_nobody_may_kill_a_server_without_a_token(service: Gr00tService, backend: GoldenBackend):
    assert error_of(answer(service, backend, golden(B, "kill_request"))) == (
        "kill is off, because this server has no api_token"
    )
    assert not service.killed


def test_who_knows_the_token_may_do_everything(backend: GoldenBackend):
    service = Gr00tService(backend.policy, api_token="secret")

    assert answer(service, backend, encode_request(Request("ping", api_token="secret"))) == golden(
        B, "ping_reply"
    )
    assert not service.killed
    assert answer(service, backend, golden(B, "kill_request")) == golden(B, "kill_reply")
    assert service.killed


@pytest.mark.parametrize("token", [None, "", "secre", "secret ", "sécret"])
@pytest.mark.parametrize("endpoint", ["ping", "kill", "get_action", "reset", "nothing"])
def test_who_does_not_know_the_token_may_do_nothing(
    backend: GoldenBackend, endpoint: str, token: str | None
):
    service = Gr00tService(backend.policy, api_token="secret")

    reply = answer(service, backend, encode_request(Request(endpoint, api_token=token)))

    assert error_of(reply) == "Unauthorized: Invalid API token"
    assert not service.killed
    assert backend.resets == 0


def test_a_token_that_nobody_asks_for_is_ignored(service: Gr00tService, backend: GoldenBackend):
    request = encode_request(Request("ping", api_token="any"))
    assert answer(service, backend, request) == golden(B, "ping_reply")


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (b"", "message is not msgpack"),
        (b"\xc1", "message is not msgpack"),
        (golden(B, "get_action_request")[:200], "message is not msgpack"),
        (b"\x91" * 5000, "message is not msgpack"),
        (b"\xdd\xff\xff\xff\xff", "message is not msgpack"),
        (bytes(10_001), "message has 10001 bytes; at most 10000 are allowed"),
        (b"PK\x03\x04", "wire T"),
        (b"\x93\1\2\3", "a request must be a map"),
        (encode_request(Request("nothing")), "Unknown endpoint: nothing; there are ping, kill, "),
        (encode_request(Request("n" * 500)), f"Unknown endpoint: {'n' * 80}; there are"),
        (encode_request(Request("get_action")), "data.observation must be a map of keys"),
        (action_request(None), "data.observation must be a map of keys; found NoneType"),
        (action_request([1]), "data.observation must be a map of keys; found list"),
        (action_request({"video": {}}), "video key 'front' is missing from the observation"),
        (action_request(tree(), 3), "options must be a map or nil"),
        (action_request(tree(), {"stamp_ns": "now"}), "options.stamp_ns must be an integer"),
    ],
)
def test_a_bad_request_is_answered_with_what_is_wrong(
    service: Gr00tService, backend: GoldenBackend, request_: bytes, text: str
):
    assert text in error_of(answer(service, backend, request_))
    assert answer(service, backend, golden(B, "get_action_request")) == golden(
        B, "get_action_reply"
    )


@pytest.mark.parametrize(
    ("part", "key", "value", "text"),
    [
        ("video", "front", np.zeros((1, 1, 3, 4, 3), np.float32), "video key 'front' must be"),
        ("video", "front", np.zeros((1, 1, 3, 4, 1), np.uint8), "video key 'front' must be"),
        ("video", "front", np.zeros((2, 1, 3, 4, 3), np.uint8), "one observation at a time"),
        ("state", "single_arm", np.zeros((1, 1, 4), np.float32), "state key 'single_arm'"),
        ("state", "gripper", np.full((1, 1, 1), np.nan), "claw/position is nan"),
        ("state", "gripper", np.zeros((1, 1, 1), int), "state key 'gripper' must be"),
        ("language", INSTRUCTION_KEY, "go", "language key 'annotation.human.task_description'"),
    ],
)
def test_a_bad_observation_is_answered_with_what_is_wrong(
    service: Gr00tService, backend: GoldenBackend, part: str, key: str, value: Any, text: str
):
    observed = tree()
    observed[part][key] = value

    assert text in error_of(answer(service, backend, action_request(observed)))
    assert answer(service, backend, golden(B, "get_action_request")) == golden(
        B, "get_action_reply"
    )


@pytest.mark.parametrize("name", ["get_action", "reset"])
def test_the_backends_errors_are_passed_on(
    service: Gr00tService, backend: GoldenBackend, name: str
):
    backend.error = BackendUnavailable("the camera policy is asleep")

    reply = answer(service, backend, golden(B, f"{name}_request"))
    assert error_of(reply) == "the camera policy is asleep"


def test_actions_that_must_not_be_executed_are_not_sent(
    service: Gr00tService, backend: GoldenBackend
):
    backend.actions = np.full((HORIZON, 6), np.inf)

    reply = answer(service, backend, golden(B, "get_action_request"))
    assert "every action must be finite" in error_of(reply)


def test_faults_of_the_backend_are_not_hidden(service: Gr00tService, backend: GoldenBackend):
    backend.error = ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError):
        answer(service, backend, golden(B, "get_action_request"))


def test_a_policy_without_cameras_and_state_is_served():
    blind = GoldenBackend()
    start, rest = POLICY.split("video:")
    blind.policy = policy(f"{start}video: {{}}\nstate: {{}}\n{rest[rest.index('action:') :]}")
    service = Gr00tService(blind.policy)

    reply = answer(service, blind, action_request({"language": {INSTRUCTION_KEY: [["go"]]}}))

    assert b"single_arm" in reply
    assert blind.seen[0].state_names == ()
