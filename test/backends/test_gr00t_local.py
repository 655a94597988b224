# SPDX-License-Identifier: Apache-2.0
"""With a stand-in for GR00T's package, which is not run with real weights anywhere here."""

from __future__ import annotations

import dataclasses
import sys
import types
from typing import Any

import numpy as np
import pytest

from test.core.refusals import changed, refused
from test.support.gr00t_package import CHECKPOINT, EmbodimentTag, Gr00tPolicy, install
from test.support.gr00t_samples import (
    HORIZON,
    INSTRUCTION,
    INSTRUCTION_KEY,
    NAMES,
    POLICY,
    STAMP_NS,
    moves,
    observation,
    policy,
    robot,
)
from vla_ros.backends.base import BatchItem
from vla_ros.backends.gr00t_local import Backend, Gr00tLocalConfig
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.errors import BackendUnavailable, ConfigError, RemotePolicyError, WireFormatError
from vla_ros.core.observation import Observation, ObservationRequest
from vla_ros.core.params import build


@pytest.fixture
def policies(monkeypatch: pytest.MonkeyPatch) -> list[Gr00tPolicy]:
    """All that were loaded."""
    return install(monkeypatch)


def backend(text: str = POLICY, **config: Any) -> Backend:
    given = {"checkpoint": CHECKPOINT, "embodiment_tag": "new_embodiment", **config}
    return Backend(Gr00tLocalConfig(**given), robot=robot(), policy=policy(text))


def test_a_chunk_is_what_the_policy_gives(policies: list[Gr00tPolicy]):
    ours = backend()
    request = ObservationRequest(request_id=4, epoch=2, stamp_ns=STAMP_NS, must_go=False)
    info = ours.connect()

    chunk = ours.infer(observation(request=request))

    np.testing.assert_array_equal(chunk.actions, moves())
    assert (chunk.names, chunk.stamp_ns) == (NAMES, STAMP_NS)
    assert (chunk.request_id, chunk.epoch) == (4, 2)
    assert 0 < chunk.timing.sent_ns <= chunk.timing.received_ns
    assert info.description == "GR00T's somebody/checkpoint (new_embodiment) on cuda, in process"
    assert (info.prefix, info.max_batch) == ("none", 8)
    asked = policies[0].asked[-1]
    assert asked["language"] == {INSTRUCTION_KEY: [[INSTRUCTION]]}
    np.testing.assert_array_equal(asked["video"]["wrist"][0, 0], observation().images["hand"])


def test_the_policy_is_loaded_as_told(policies: list[Gr00tPolicy]):
    backend().connect()
    backend(embodiment_tag="UNITREE_G1", device="cuda:1", denoising_steps=8).connect()
    backend(embodiment_tag="unitree_g1_full_body", device="cpu").connect()

    body = EmbodimentTag.UNITREE_G1
    assert [loaded.arguments for loaded in policies] == [
        (EmbodimentTag.NEW_EMBODIMENT, CHECKPOINT, "cuda", True),
        (body, CHECKPOINT, "cuda:1", True),
        (body, CHECKPOINT, "cpu", True),
    ]
    steps = [loaded.model.action_head.num_inference_timesteps for loaded in policies]
    assert steps == [4, 8, 4]


def test_the_first_inference_is_done_before_the_first_observation(policies: list[Gr00tPolicy]):
    backend(max_batch=3).connect()

    asked = policies[0].asked
    assert np.unique(asked[0]["video"]["front"]).tolist() == [128]
    assert [len(tree["video"]["front"]) for tree in asked] == [1, 1, 1, 1, 3]
    assert policies[0].resets == 1


def test_a_reset_reaches_the_policy(policies: list[Gr00tPolicy], monkeypatch: pytest.MonkeyPatch):
    ours = backend()
    ours.reset()
    ours.connect()
    ours.reset()

    assert policies[0].resets == 2

    def fail(_: Gr00tPolicy) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(Gr00tPolicy, "reset", fail)
    with refused(RemotePolicyError, "GR00T's reset failed: RuntimeError: out of memory"):
        ours.reset()


def test_what_has_to_be_told_is_asked_for():
    with refused(ConfigError, "parameter 'checkpoint' is required"):
        build(Gr00tLocalConfig, {"embodiment_tag": "new_embodiment"}, where="backend")
    with refused(ConfigError, "parameter 'embodiment_tag' is required"):
        build(Gr00tLocalConfig, {"checkpoint": CHECKPOINT}, where="backend")


def test_a_missing_package_is_named_with_how_to_install_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "gr00t", None)

    with refused(ConfigError, "backend gr00t_local needs gr00t (N1.6 or later)", "pip install"):
        backend().connect()


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"embodiment_tag": "spot"}, "'spot' is none of GR00T's, which are new_embodiment, unit"),
        (
            {"checkpoint": "none"},
            "checkpoint none cannot be loaded on cuda: OSError: none is not a",
        ),
    ],
)
def test_what_cannot_be_loaded_is_refused(
    config: dict[str, Any], words: str, policies: list[Gr00tPolicy]
):
    with refused(ConfigError, words):
        backend(**config).connect()


def test_steps_that_cannot_be_set_are_refused(
    policies: list[Gr00tPolicy], monkeypatch: pytest.MonkeyPatch
):
    class Headless(Gr00tPolicy):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            self.model = types.SimpleNamespace()

    monkeypatch.setattr(sys.modules["gr00t.policy.gr00t_policy"], "Gr00tPolicy", Headless)
    backend().connect()

    with refused(ConfigError, "denoising_steps is 8, but the model of somebody/checkpoint has no"):
        backend(denoising_steps=8).connect()


def test_another_policy_than_described_is_refused(policies: list[Gr00tPolicy]):
    ours = backend(changed(POLICY, "front: {camera: head}", "chest: {camera: head}"))

    with refused(ConfigError, "video keys differ", "chest, wrist", "front, wrist"):
        ours.connect()
    with pytest.raises(BackendUnavailable, match="call connect first"):
        ours.infer(observation())


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), AssertionError("no state")])
def test_what_the_policy_raises_is_said(
    error: Exception, policies: list[Gr00tPolicy], monkeypatch: pytest.MonkeyPatch
):
    ours = backend()
    ours.connect()

    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(Gr00tPolicy, "get_action", fail)
    with refused(RemotePolicyError, f"GR00T failed: {type(error).__name__}: {error}"):
        ours.infer(observation())


def test_an_answer_of_another_shape_is_refused(
    policies: list[Gr00tPolicy], monkeypatch: pytest.MonkeyPatch
):
    ours = backend()
    ours.connect()
    flat = {"single_arm": np.zeros(5, np.float32), "gripper": np.zeros(1, np.float32)}
    monkeypatch.setattr(Gr00tPolicy, "get_action", lambda *_: (flat, {}))

    with refused(WireFormatError, "action key 'single_arm' must be (1, H, D)"):
        ours.infer(observation())


def test_closing_lets_go(policies: list[Gr00tPolicy]):
    ours = backend()
    ours.connect()
    ours.close()
    ours.close()

    with pytest.raises(BackendUnavailable, match="call connect first"):
        ours.infer(observation())
    ours.connect()
    np.testing.assert_array_equal(ours.infer(observation()).actions, moves())


def several(count: int) -> list[Observation]:
    """Observations of as many robots."""
    first = observation()
    return [
        dataclasses.replace(
            first,
            stamp_ns=STAMP_NS + index,
            instruction=f"{INSTRUCTION} {index}",
            images={name: image + index for name, image in first.images.items()},
            state=first.state + index,
        )
        for index in range(count)
    ]


def infer_batch(ours: Backend, shown: list[Observation]) -> list[ActionChunk]:
    return ours.infer_batch([BatchItem(ours, seen) for seen in shown])


@pytest.mark.parametrize("count", [1, 3])
def test_a_batch_is_answered_as_each_alone(count: int, policies: list[Gr00tPolicy]):
    ours, shown = backend(), several(count)
    ours.connect()
    alone = [ours.infer(seen) for seen in shown]
    policies[0].asked.clear()

    chunks = infer_batch(ours, shown)

    (asked,) = policies[0].asked
    assert asked["language"][INSTRUCTION_KEY] == [[seen.instruction] for seen in shown]
    np.testing.assert_array_equal(
        asked["video"]["wrist"][:, 0], [seen.images["hand"] for seen in shown]
    )
    assert [chunk.stamp_ns for chunk in chunks] == [seen.stamp_ns for seen in shown]
    for chunk, expected in zip(chunks, alone, strict=True):
        np.testing.assert_array_equal(chunk.actions, expected.actions)


def test_images_of_several_sizes_are_not_put_into_one_batch(policies: list[Gr00tPolicy]):
    ours, shown = backend(), several(3)
    ours.connect()
    small = {name: image[:2] for name, image in shown[1].images.items()}
    shown[1] = dataclasses.replace(shown[1], images=small)
    policies[0].asked.clear()

    chunks = infer_batch(ours, shown)

    assert [len(asked["video"]["front"]) for asked in policies[0].asked] == [2, 1]
    assert [chunk.stamp_ns for chunk in chunks] == [seen.stamp_ns for seen in shown]


def test_more_than_it_infers_at_once_is_refused(policies: list[Gr00tPolicy]):
    ours = backend(max_batch=2)
    with pytest.raises(BackendUnavailable, match="call connect first"):
        infer_batch(ours, several(2))
    assert ours.connect().max_batch == 2

    with refused(RemotePolicyError, "a batch of 3 observations", "at most 2 at once"):
        infer_batch(ours, several(3))


def test_a_policy_without_memory_for_several_gets_one(
    policies: list[Gr00tPolicy], monkeypatch: pytest.MonkeyPatch
):
    whole = Gr00tPolicy.get_action

    def get_action(self: Gr00tPolicy, tree: dict[str, Any]) -> Any:
        if len(tree["video"]["front"]) > 1:
            raise RuntimeError("CUDA out of memory")
        return whole(self, tree)

    monkeypatch.setattr(Gr00tPolicy, "get_action", get_action)
    ours = backend()

    assert ours.connect().max_batch == 1
    np.testing.assert_array_equal(ours.infer(observation()).actions, moves())


@pytest.mark.parametrize("axes", [(1, HORIZON), (HORIZON,), (3, 1, HORIZON)])
def test_a_batch_of_another_shape_is_refused(
    axes: tuple[int, ...], policies: list[Gr00tPolicy], monkeypatch: pytest.MonkeyPatch
):
    ours = backend()
    ours.connect()
    answer = {"single_arm": np.zeros((*axes, 5)), "gripper": np.zeros((*axes, 1))}
    monkeypatch.setattr(Gr00tPolicy, "get_action", lambda *_: (answer, {}))

    with refused(WireFormatError, "action key 'single_arm' must be (3, H, D); found", str(axes[0])):
        infer_batch(ours, several(3))


def test_an_answer_that_is_no_map_is_refused(
    policies: list[Gr00tPolicy], monkeypatch: pytest.MonkeyPatch
):
    ours = backend()
    ours.connect()
    monkeypatch.setattr(Gr00tPolicy, "get_action", lambda *_: (None, {}))

    with refused(WireFormatError, "the actions must be a map"):
        infer_batch(ours, several(2))
