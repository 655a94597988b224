# SPDX-License-Identifier: Apache-2.0
"""With a stand-in for the file; ``test_onnx_file`` and ``test_torch_file`` have real ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from test.core.helpers import POLICY, robot
from test.core.helpers import policy as plain_policy
from test.core.refusals import changed, refused
from test.support.model_files import HORIZON, INPUTS, chunk, observation, policy
from vla_ros.backends import torch_module
from vla_ros.backends.base import BatchItem
from vla_ros.backends.torch_module import Backend, TorchModuleConfig
from vla_ros.core.errors import ActionError, BackendUnavailable, ConfigError, RemotePolicyError
from vla_ros.core.observation import Observation, ObservationRequest
from vla_ros.core.policy_spec import PolicySpec


class File:
    """Moves on from the state; how fast, the image says."""

    description = "somewhere/model.pt on cpu"
    inputs: tuple[str, ...] = ("image", "state")
    length = HORIZON + 3
    width = 2

    def __init__(self, path: Path, device: str) -> None:
        self.loaded = (path, device)
        self.asked: list[Mapping[str, Any]] = []

    def run(self, arrays: Mapping[str, Any], output: str) -> np.ndarray:
        assert output == "actions"
        self.asked.append(arrays)
        steps = np.arange(self.length, dtype=np.float32)[:, None] * np.float32(0.1)
        return np.stack(
            [
                np.resize(state, self.width) + image.max() + steps
                for state, image in zip(arrays["state"], arrays["image"], strict=True)
            ]
        )


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> list[File]:
    """All that were loaded."""
    loaded: list[File] = []

    def load(path: Path, device: str) -> File:
        loaded.append(File(path, device))
        return loaded[-1]

    monkeypatch.setattr(torch_module, "load_model_file", load)
    return loaded


def backend(described: PolicySpec | None = None, **config: Any) -> Backend:
    return Backend(TorchModuleConfig(**config), robot=robot(), policy=described or policy())


def test_a_chunk_comes_of_what_the_model_gives(files: list[File]):
    ours = backend()
    request = ObservationRequest(request_id=4, epoch=2, stamp_ns=1, must_go=False)
    seen = observation(shade=255)
    object.__setattr__(seen, "request", request)
    info = ours.connect()

    answer = ours.infer(seen)

    np.testing.assert_allclose(answer.actions, chunk(np.array([0.25, 0.5]), 1.0)[0], atol=1e-6)
    assert (answer.names, answer.stamp_ns) == (("a/position", "g/position"), seen.stamp_ns)
    assert (answer.request_id, answer.epoch) == (4, 2)
    assert 0 < answer.timing.sent_ns <= answer.timing.received_ns
    assert info.description == "model somewhere/model.pt on cpu, in process"
    assert (info.prefix, info.max_batch) == ("none", 16)


def test_units_are_the_policys(files: list[File]):
    degrees = POLICY.replace("unit: rad", "unit: degree")
    ours = backend(policy(text=degrees))
    ours.connect()

    actions = ours.infer(observation()).actions

    expected = chunk(np.rad2deg([0.25, 0.5]), 0.0)[0]
    np.testing.assert_allclose(actions, np.deg2rad(expected), atol=1e-6)
    np.testing.assert_allclose(files[0].asked[-1]["state"], np.rad2deg([[0.25, 0.5]]), rtol=1e-6)


def test_slow_first_inferences_are_done_before_the_first_observation(files: list[File]):
    backend(max_batch=5).connect()

    assert [len(asked["state"]) for asked in files[0].asked] == [1, 1, 1, 1, 1, 5]
    for asked in files[0].asked[:2]:
        np.testing.assert_allclose(asked["image"], np.full((1, 3, 2, 3), 128 / 255), rtol=1e-6)
        np.testing.assert_array_equal(asked["state"], np.float32([[0.0, 0.5]]), strict=True)


def test_the_file_lies_beside_the_description_unless_it_is_named(files: list[File]):
    backend(policy(folder=Path("some/where"))).connect()
    backend(policy("/models/a.onnx", device="cuda", folder=Path("some"))).connect()
    backend(file="other.pt2", device="cuda:1").connect()

    assert [file.loaded for file in files] == [
        (Path("some/where/model.pt"), "cpu"),
        (Path("/models/a.onnx"), "cuda"),
        (Path("other.pt2"), "cuda:1"),
    ]


def test_a_policy_that_is_no_file_is_refused():
    with refused(ConfigError, "policy.yaml: backend torch_module needs the section model"):
        backend(plain_policy())


def test_a_model_with_other_inputs_is_refused(files: list[File], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(File, "inputs", ("image", "state", "noise"))

    with refused(
        ConfigError, "policy.yaml: model.inputs: describes image, state, but the model somewhere/",
        "has image, state, noise",
    ):  # fmt: skip
        backend().connect()


@pytest.mark.parametrize(("length", "width"), [(HORIZON - 1, 2), (HORIZON, 3)])
def test_a_model_with_other_actions_is_refused(
    length: int, width: int, files: list[File], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(File, "length", length)
    monkeypatch.setattr(File, "width", width)
    ours = backend()

    with refused(
        RemotePolicyError,
        f"output 'actions' has {length} actions of {width} values; policy.yaml describes 10 of 2",
    ):
        ours.connect()
    with pytest.raises(BackendUnavailable, match="call connect first"):
        ours.infer(observation())


def test_what_is_not_finite_is_not_executed(files: list[File], monkeypatch: pytest.MonkeyPatch):
    ours = backend()
    ours.connect()
    monkeypatch.setattr(File, "run", lambda *_: np.full((HORIZON, 2), np.nan))

    with pytest.raises(ActionError, match="a/position"):
        ours.infer(observation())


def test_closing_lets_go_and_connecting_again_loads_again(files: list[File]):
    ours = backend()
    ours.reset()
    ours.connect()
    ours.close()
    ours.close()

    with pytest.raises(BackendUnavailable, match="call connect first"):
        ours.infer(observation())
    ours.connect()
    ours.reset()
    assert len(ours.infer(observation()).actions) == HORIZON
    assert len(files) == 2


def test_every_moment_is_shown(files: list[File]):
    text = changed(POLICY, "{camera: left}", "{camera: left, delta_indices: [-2, 0]}")
    inputs = (
        "image: {video: front, layout: NTHWC, dtype: uint8, range: 0..255},"
        " state: {state: [arm, hand], layout: ND, dtype: float32}"
    )
    backend(policy(text=text, inputs=inputs)).connect()

    assert files[0].asked[0]["image"].shape == (1, 2, 4, 6, 3)


def items(ours: Backend, shown: Sequence[Observation]) -> list[BatchItem]:
    return [BatchItem(ours, seen) for seen in shown]


def several(count: int) -> list[Observation]:
    """Observations that are answered differently, a millisecond apart."""
    first = observation()
    return [
        dataclasses.replace(
            observation(shade=10 * index),
            stamp_ns=first.stamp_ns + index * 1_000_000,
            state=first.state + 0.01 * index,
        )
        for index in range(count)
    ]


@pytest.mark.parametrize("count", [1, 3, 4])
def test_a_batch_is_answered_as_each_alone(count: int, files: list[File]):
    ours, shown = backend(max_batch=4), several(count)
    assert ours.connect().max_batch == 4
    alone = [ours.infer(seen) for seen in shown]
    files[0].asked.clear()

    chunks = ours.infer_batch(items(ours, shown))

    assert [asked["state"].shape for asked in files[0].asked] == [(count, 2)]
    assert [chunk.stamp_ns for chunk in chunks] == [seen.stamp_ns for seen in shown]
    for answer, expected in zip(chunks, alone, strict=True):
        np.testing.assert_array_equal(answer.actions, expected.actions)


def test_images_of_several_sizes_are_not_put_into_one_batch(files: list[File]):
    described = policy(inputs=INPUTS.replace(", size: [2, 3]", ""))
    ours, shown = backend(described), several(3)
    shown[1] = dataclasses.replace(shown[1], images={"left": np.full((2, 2, 3), 90, np.uint8)})
    ours.connect()
    alone = [ours.infer(seen).actions for seen in shown]
    files[0].asked.clear()

    chunks = ours.infer_batch(items(ours, shown))

    assert [len(asked["state"]) for asked in files[0].asked] == [2, 1]
    np.testing.assert_array_equal([chunk.actions for chunk in chunks], alone)


def test_more_than_it_infers_at_once_is_refused(files: list[File]):
    ours = backend(max_batch=2)
    with pytest.raises(BackendUnavailable, match="call connect first"):
        ours.infer_batch(items(ours, several(2)))
    ours.connect()

    with refused(RemotePolicyError, "a batch of 3 observations", "at most 2 at once"):
        ours.infer_batch(items(ours, several(3)))


@pytest.mark.parametrize(
    "inputs",
    [
        INPUTS.replace("layout: ND", "layout: D"),
        INPUTS.replace("layout: NCHW", "layout: CHW"),
    ],
)
def test_a_model_without_an_axis_for_several_observations_gets_one(
    inputs: str, files: list[File], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(File, "run", lambda *_: np.zeros((HORIZON, 2), np.float32))
    ours = backend(policy(inputs=inputs))

    assert ours.connect().max_batch == 1
    with refused(RemotePolicyError, "at most 1 at once"):
        ours.infer_batch(items(ours, several(2)))
    assert len(ours.infer_batch(items(ours, several(1)))) == 1


def test_a_model_that_fails_on_several_gets_one(files: list[File], monkeypatch: pytest.MonkeyPatch):
    whole = File.run

    def run(self: File, arrays: Mapping[str, Any], output: str) -> np.ndarray:
        if len(arrays["state"]) != 1:
            raise RemotePolicyError("the batch's axis is fixed")
        return whole(self, arrays, output)

    monkeypatch.setattr(File, "run", run)
    ours = backend()

    assert ours.connect().max_batch == 1
    assert len(ours.infer(observation()).actions) == HORIZON


def test_a_batch_fails_as_a_whole(files: list[File], monkeypatch: pytest.MonkeyPatch):
    ours = backend()
    ours.connect()
    monkeypatch.setattr(File, "run", lambda *_: np.zeros((1, HORIZON, 2), np.float32))

    with refused(RemotePolicyError, "must be (3, H, D) floats, found (1, 10, 2)"):
        ours.infer_batch(items(ours, several(3)))
