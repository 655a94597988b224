# SPDX-License-Identifier: Apache-2.0
"""With a stand-in for GR00T's package, which is not run with real weights anywhere here."""

from __future__ import annotations

import sys
import types
from typing import Any

import numpy as np
import pytest

from test.core.refusals import changed, refused
from test.support.gr00t_package import CHECKPOINT, EmbodimentTag, Gr00tPolicy, install
from test.support.gr00t_samples import (
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
from vla_ros.backends.gr00t_local import Backend, Gr00tLocalConfig
from vla_ros.core.errors import BackendUnavailable, ConfigError, RemotePolicyError, WireFormatError
from vla_ros.core.observation import ObservationRequest
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
    assert info.prefix == "none"
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
    backend().connect()

    (asked,) = policies[0].asked
    assert np.unique(asked["video"]["front"]).tolist() == [128]
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
