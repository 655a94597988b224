# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from test.support.asked import answer
from test.support.golden_backend import GoldenBackend
from test.support.golden_server import GoldenServer, golden
from test.support.gr00t_samples import (
    HORIZON,
    PAST_POLICY,
    POLICY,
    STAMP_NS,
    moves,
    observation,
    past_observation,
    policy,
    robot,
)
from test.support.zmq_peers import serving
from vla_ros.backends.gr00t_zmq import Backend, Gr00tConfig
from vla_ros.core.errors import (
    ActionError,
    BackendUnavailable,
    ConfigError,
    RemotePolicyError,
    WireFormatError,
)
from vla_ros.core.observation import ObservationRequest, Prefix
from vla_ros.serving.gr00t_service import Gr00tService
from vla_ros.wire.gr00t.message import decode_request, encode_error, encode_reply
from vla_ros.wire.gr00t.wires import Gr00tWire

A5, A6, B = Gr00tWire.A5, Gr00tWire.A6, Gr00tWire.B
wires = pytest.mark.parametrize("wire", list(Gr00tWire))
newer = pytest.mark.parametrize("wire", [A6, B])

Connect = Callable[..., Backend]


@pytest.fixture
def backend() -> Iterator[Connect]:
    made: list[Backend] = []

    def make(port: int, text: str = POLICY, **config: Any) -> Backend:
        settings = {"port": port, "timeout_s": 10.0, "backoff_s": 0.01, **config}
        clock = itertools.count(100)
        made.append(
            Backend(
                Gr00tConfig(**settings),
                robot=robot(),
                policy=policy(text),
                now_ns=lambda: next(clock),
            )
        )
        return made[-1]

    yield make
    for item in made:
        item.close()


def answering(service: Gr00tService, theirs: GoldenBackend) -> Callable[..., bytes]:
    """What a server of ours answers."""
    return lambda request, *rest: answer(service, theirs, request, rest=rest)


def endpoints(requests: list[bytes]) -> list[str]:
    return [decode_request(request).endpoint for request in requests]


def arm(actions: np.ndarray, claw: np.ndarray | None = None, **more: Any) -> bytes:
    """A reply of wire B."""
    by_key = {"single_arm": actions, "gripper": moves()[None, :, 5:] if claw is None else claw}
    return encode_reply([{**by_key, **more}, {}], B)


@wires
def test_the_wire_is_found_out_and_spoken(backend: Connect, wire: Gr00tWire):
    with serving(GoldenServer(wire)) as server:
        ours = backend(server.port)
        info = ours.connect()
        chunks = [ours.infer(observation()) for _ in range(3)]

        assert info.description == (
            f"GR00T policy server at tcp://127.0.0.1:{server.port}, wire {wire.value}"
        )
        assert (info.prefix, info.max_batch) == ("none", 1)
        for chunk in chunks:
            np.testing.assert_array_equal(chunk.actions, moves())
            assert chunk.stamp_ns == STAMP_NS
        assert endpoints(server.requests) == ["get_modality_config", *["get_action"] * 3]


def test_an_observation_of_wire_a5_is_nvidias_own(backend: Connect):
    with serving(GoldenServer(A5)) as server:
        backend(server.port).infer(observation())

        assert server.requests[1] == golden(A5, "get_action_request")


@newer
def test_an_observation_is_sent_with_its_options(backend: Connect, wire: Gr00tWire):
    request = ObservationRequest(request_id=7, epoch=2, stamp_ns=5, must_go=False)
    prefix = Prefix(("claw/position",), np.array([[0.5]]), 0.25, 8)
    with serving(GoldenServer(wire)) as server:
        chunk = backend(server.port).infer(observation(request=request), prefix)

        sent = decode_request(server.requests[1])
        theirs = decode_request(golden(wire, "get_action_request"))
    assert sent.wire is wire
    for part in ("video", "state"):
        for key, value in theirs.data["observation"][part].items():
            np.testing.assert_array_equal(sent.data["observation"][part][key], value)
            assert sent.data["observation"][part][key].dtype == value.dtype
    assert sent.data["observation"]["language"] == theirs.data["observation"]["language"]
    options = dict(sent.data["options"])
    assert options.pop("prefix")["names"] == ["claw/position"]
    assert options == {
        "stamp_ns": STAMP_NS, "request_id": 7, "epoch": 2, "inference_delay_s": 0.25,
        "execution_horizon": 8,
    }  # fmt: skip
    assert (chunk.request_id, chunk.epoch, chunk.timing.requested_ns) == (7, 2, 5)
    assert chunk.timing.received_ns == chunk.timing.sent_ns + 1


@newer
def test_a_reset_reaches_the_server(backend: Connect, wire: Gr00tWire):
    with serving(GoldenServer(wire)) as server:
        backend(server.port).reset()

        assert server.requests[-1] == golden(wire, "reset_request")


def test_wire_a5_has_no_reset(backend: Connect):
    with serving(GoldenServer(A5)) as server:
        backend(server.port).reset()

        assert endpoints(server.requests) == ["get_modality_config"]


@newer
def test_a_server_that_wants_flat_keys_gets_them(backend: Connect, wire: Gr00tWire):
    def wrapped(request: bytes) -> bytes | None:
        decoded = decode_request(request)
        if decoded.endpoint != "get_action":
            return GoldenServer(wire)(request)
        if "video.front" in decoded.data["observation"]:
            return golden(wire, "get_action_flat_reply")
        return encode_error("Video key 'video.front' must be in observation")

    with serving(wrapped) as server:
        ours = backend(server.port)
        for _ in range(2):
            np.testing.assert_array_equal(ours.infer(observation()).actions, moves())
        assert endpoints(server.requests) == ["get_modality_config", *["get_action"] * 3]

        flat = backend(server.port, layout="flat")
        flat.infer(observation())
        assert endpoints(server.requests)[4:] == ["get_modality_config", "get_action"]

        with pytest.raises(RemotePolicyError, match=r"'video\.front' must be in observation"):
            backend(server.port, layout="nested").infer(observation())


def test_wire_a5_is_always_flat(backend: Connect):
    with serving(GoldenServer(A5)) as server:
        backend(server.port, layout="flat").infer(observation())
        with pytest.raises(
            ConfigError, match=r"layout is nested, but .* wire A5, which knows flat"
        ):
            backend(server.port, layout="nested").connect()


def test_what_old_servers_of_wire_a5_leave_out_is_put_back(backend: Connect):
    reply = {"action.single_arm": moves()[:, :5], "action.gripper": moves()[:, 5]}
    with serving(GoldenServer(A5, get_action=encode_reply(reply, A5))) as server:
        np.testing.assert_array_equal(backend(server.port).infer(observation()).actions, moves())


@wires
def test_a_server_with_another_policy_is_refused(backend: Connect, wire: Gr00tWire):
    with serving(GoldenServer(wire)) as server:
        for _ in range(2):
            with pytest.raises(ConfigError, match=r"action offsets .*\(8 of them\), the server at"):
                backend(server.port, POLICY.replace(str(HORIZON), "8", 1)).connect()
        other = POLICY.replace("wrist: {camera: hand}", "side: {camera: hand}")
        with pytest.raises(ConfigError, match=r"video keys differ: .* front, side, the server"):
            backend(server.port, other).infer(observation())


def test_the_servers_own_words_are_passed_on(backend: Connect):
    with serving(GoldenServer(B, get_action=encode_error("CUDA out of memory"))) as server:
        ours = backend(server.port)
        for _ in range(2):
            with pytest.raises(RemotePolicyError, match="CUDA out of memory"):
                ours.infer(observation())
        assert endpoints(server.requests) == ["get_modality_config", *["get_action"] * 2]


def test_a_token_that_is_not_the_servers(backend: Connect):
    refused = encode_error("Unauthorized: Invalid API token")
    with serving(GoldenServer(B, get_modality_config=refused)) as server:
        ours = backend(server.port, api_token="wrong")
        with pytest.raises(RemotePolicyError, match=r"Unauthorized.*api_token is missing or not"):
            ours.connect()
        assert decode_request(server.requests[0]).api_token == "wrong"


def test_a_server_of_wire_t_is_recognised(backend: Connect):
    with (
        serving(GoldenServer(B, get_modality_config=b"ERROR")) as server,
        pytest.raises(WireFormatError, match="wire T, torch pickles"),
    ):
        backend(server.port).connect()


NAN = moves()[None, :, :5].copy()
NAN[0, 3, 1] = np.nan


@pytest.mark.parametrize(
    ("reply", "kind", "text"),
    [
        (arm(moves()[None, :8, :5]), ActionError, r"key 'single_arm' .*\(16, 5\).* \(8, 5\)"),
        (arm(moves()[None, :, :4]), ActionError, r"key 'single_arm' .*\(16, 5\).* \(16, 4\)"),
        (arm(NAN), ActionError, "action 3 of joint_1/position is nan; every action must be finite"),
        (arm(moves()[:, :5]), WireFormatError, r"'single_arm' must be \(1, H, D\); found"),
        (arm(moves()[None, :, :5].astype(int)), WireFormatError, "float32 or float64; found"),
        (encode_reply([{}, {}], B), ActionError, "action key 'single_arm' is missing"),
        (encode_reply({}, B), WireFormatError, r"answer must be \[actions, info\]"),
        (b"\xc1", WireFormatError, "not msgpack"),
    ],
)
def test_a_bad_answer_makes_no_chunk(
    backend: Connect, reply: bytes, kind: type[Exception], text: str
):
    with serving(GoldenServer(B, get_action=reply)) as server:
        ours = backend(server.port)
        with pytest.raises(kind, match=text):
            ours.infer(observation())


def test_keys_that_are_not_commanded_are_ignored(backend: Connect):
    reply = arm(moves()[None, :, :5], base=np.zeros((1, 16, 3), np.float32))
    with serving(GoldenServer(B, get_action=reply)) as server:
        np.testing.assert_array_equal(backend(server.port).infer(observation()).actions, moves())


def test_no_call_blocks_longer_than_its_time(backend: Connect):
    with serving(GoldenServer(B, get_action=None)) as server:
        ours = backend(server.port, timeout_s=0.2)
        ours.connect()
        started_s = time.monotonic()
        with pytest.raises(BackendUnavailable, match="gave no answer within"):
            ours.infer(observation())
        with pytest.raises(BackendUnavailable, match="still busy with an earlier request"):
            ours.infer(observation())
        assert time.monotonic() - started_s < 2.0


def test_another_server_at_the_same_address_is_asked_for_its_wire(backend: Connect):
    with serving(GoldenServer(B)) as server:
        ours = backend(server.port)
        ours.connect()
        ours.infer(observation())
    with pytest.raises(BackendUnavailable, match="nobody listens"):
        ours.infer(observation())
    with pytest.raises(BackendUnavailable, match=r"next attempt is in 0\.0\d s"):
        ours.infer(observation())
    with serving(GoldenServer(A5), port=server.port) as other:
        time.sleep(0.05)
        np.testing.assert_array_equal(ours.infer(observation()).actions, moves())
        assert endpoints(other.requests) == ["get_modality_config", "get_action"]


def test_a_connection_may_be_made_again_and_again(backend: Connect):
    with serving(GoldenServer(B)) as server:
        ours = backend(server.port)
        for _ in range(2):
            ours.connect()
            ours.connect()
            ours.infer(observation())
            ours.close()
            ours.close()
        assert endpoints(server.requests).count("get_modality_config") == 4


def test_an_observation_that_lacks_a_camera_is_not_sent(backend: Connect):
    with serving(GoldenServer(B)) as server:
        with pytest.raises(ConfigError, match="camera hand is not in the observation"):
            backend(server.port).infer(observation(images={"head": np.zeros((3, 4, 3), np.uint8)}))
        assert server.requests == []


@wires
def test_a_past_reaches_the_policy_behind_a_server(backend: Connect, wire: Gr00tWire):
    theirs = GoldenBackend(policy=policy(PAST_POLICY))
    service = Gr00tService(theirs.policy, modality_wire=wire)
    with serving(answering(service, theirs)) as server:
        chunk = backend(server.port, PAST_POLICY, image_encoding="raw").infer(past_observation())

    np.testing.assert_allclose(chunk.actions, moves(), atol=1e-6)
    [seen] = theirs.seen
    assert tuple(seen.images) == tuple(past_observation().images)
    for name, image in past_observation().images.items():
        np.testing.assert_array_equal(seen.images[name], image)


@pytest.mark.parametrize(
    ("ours", "theirs", "words"),
    [
        (PAST_POLICY, POLICY, r"six_joints_policy.yaml has -15, 0, the server at .* has 0$"),
        (POLICY, PAST_POLICY, r"six_joints_policy.yaml has 0, the server at .* has -15, 0$"),
    ],
)
def test_a_policy_that_looks_at_other_moments_is_refused(
    backend: Connect, ours: str, theirs: str, words: str
):
    backend_there = GoldenBackend(policy=policy(theirs))
    service = Gr00tService(backend_there.policy)
    with (
        serving(answering(service, backend_there)) as server,
        pytest.raises(ConfigError, match=f"video delta_indices .* differ: {words}"),
    ):
        backend(server.port, ours).connect()


LARGE = {
    "head": np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8),
    "hand": np.full((96, 128, 3), 60, np.uint8),
}


def test_a_server_of_ours_gets_images_in_parts_and_as_they_are(backend: Connect):
    theirs = GoldenBackend()
    with serving(answering(Gr00tService(theirs.policy), theirs)) as server:
        ours = backend(server.port, image_encoding="raw")
        assert ours.connect().description.endswith(", wire B, raw images")
        chunk = ours.infer(observation(images=LARGE))
        ours.infer(observation())

        assert len(server.requests[2]) < 1000
        assert endpoints([*server.requests[:2], server.requests[3]]) == [
            "get_modality_config", "get_capabilities", "get_action",
        ]  # fmt: skip
    np.testing.assert_allclose(chunk.actions, moves(), atol=1e-6)
    for camera, image in LARGE.items():
        np.testing.assert_array_equal(theirs.seen[0].images[camera], image)


@pytest.mark.parametrize("layout", ["nested", "flat"])
def test_a_server_of_ours_gets_jpeg_files_where_that_is_wanted(backend: Connect, layout: str):
    theirs = GoldenBackend()
    with serving(answering(Gr00tService(theirs.policy), theirs)) as server:
        ours = backend(server.port, image_encoding="jpeg", jpeg_quality=80, layout=layout)
        assert ours.connect().description.endswith(", wire B, JPEG images")
        ours.infer(observation(images=LARGE))
        ours.close()
        ours.infer(observation(images=LARGE))

    for seen in theirs.seen:
        np.testing.assert_allclose(seen.images["hand"], LARGE["hand"], atol=2)
        assert seen.images["head"].shape == (90, 120, 3)


def test_jpeg_files_are_not_sent_to_nvidias_servers(backend: Connect):
    with (
        serving(GoldenServer(B)) as server,
        pytest.raises(ConfigError, match="image_encoding is jpeg, but the server at"),
    ):
        backend(server.port, image_encoding="jpeg").connect()


@wires
def test_images_are_sent_in_the_size_that_the_policy_says(backend: Connect, wire: Gr00tWire):
    text = POLICY.replace("{camera: head}", "{camera: head, size: [6, 6], resize: pad}")
    theirs = GoldenBackend()
    with serving(answering(Gr00tService(theirs.policy, modality_wire=wire), theirs)) as server:
        backend(server.port, text).infer(observation(images=LARGE))

    [seen] = theirs.seen
    assert seen.images["head"].shape == (6, 6, 3)
    assert (seen.images["head"][0] == 0).all()
    np.testing.assert_array_equal(seen.images["hand"], LARGE["hand"])


def test_the_server_is_told_when_the_robot_runs_out_of_actions(backend: Connect):
    request = ObservationRequest(
        request_id=7, epoch=2, stamp_ns=5, must_go=False, runs_out_ns=2_000_000_000
    )
    with serving(GoldenServer(B)) as server:
        backend(server.port).infer(observation(request=request))

        told = decode_request(server.requests[1]).data["options"]["runs_out_in_s"]
    assert told == pytest.approx(2.0, abs=1e-6)
