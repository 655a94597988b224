# SPDX-License-Identifier: Apache-2.0
"""With a stand-in for the model; ``test/peers`` has the real ones."""

from __future__ import annotations

import dataclasses
import logging
import sys
import types
from typing import Any

import numpy as np
import pytest

from test.support.lerobot_arm import (
    CAMERAS,
    HORIZON,
    INSTRUCTION,
    NAMES,
    STAMP_NS,
    actions_of,
    observation,
    policy,
    robot,
    state_of,
)
from vla_ros.backends import lerobot_local
from vla_ros.backends._lerobot_guidance import Guidance, GuidanceParams
from vla_ros.backends.lerobot_local import Backend, LeRobotLocalConfig
from vla_ros.core.errors import ActionError, BackendUnavailable, ConfigError
from vla_ros.core.observation import ObservationRequest, Prefix
from vla_ros.core.policy_spec import PolicySpec


class Model:
    """Moves on from the state, one unit at each step."""

    type = "act"
    description = "somebody/something (act) on cpu"
    state_size = action_size = len(NAMES)
    cameras = dict.fromkeys(CAMERAS, (48, 64))
    guided = True
    length = HORIZON + 4

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self.loaded = (arguments, named)
        self.asked: list[tuple[Any, ...]] = []
        self.resets = 0

    def predict(self, *asked: Any) -> np.ndarray:
        self.asked.append(asked)
        return asked[2] + np.arange(self.length, dtype=np.float32)[:, None]

    def reset(self) -> None:
        self.resets += 1


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> list[Model]:
    """All that were loaded."""
    loaded: list[Model] = []

    def load(*arguments: Any, **named: Any) -> Model:
        loaded.append(Model(*arguments, **named))
        return loaded[-1]

    module = types.ModuleType("model")
    module.__dict__["LeRobotModel"] = load
    monkeypatch.setitem(sys.modules, lerobot_local._MODEL, module)
    return loaded


def backend(described: PolicySpec | None = None, image: tuple[int, int] = (48, 64), **config: Any):
    return Backend(LeRobotLocalConfig(**config), robot=robot(image), policy=described or policy())


def test_a_chunk_is_in_radians_and_no_longer_than_described(models: list[Model]):
    ours = backend()
    request = ObservationRequest(request_id=4, epoch=2, stamp_ns=STAMP_NS, must_go=False)
    info = ours.connect()

    chunk = ours.infer(observation(request=request))

    steps = state_of(observation()) + np.arange(HORIZON, dtype=np.float32)[:, None]
    np.testing.assert_allclose(chunk.actions, actions_of(steps), atol=1e-6)
    assert (chunk.names, chunk.stamp_ns) == (NAMES, STAMP_NS)
    assert (chunk.request_id, chunk.epoch) == (4, 2)
    assert 0 < chunk.timing.sent_ns <= chunk.timing.received_ns
    assert info.prefix == "guided"
    assert info.description == "LeRobot's somebody/something (act) on cpu, in process"
    stamp_ns, images, state, task, guidance = models[0].asked[-1]
    assert (stamp_ns, task, guidance) == (STAMP_NS, INSTRUCTION, None)
    assert state.dtype == np.float32
    np.testing.assert_array_equal(state, state_of(observation()))
    for camera, image in zip(CAMERAS, observation().images.values(), strict=True):
        np.testing.assert_array_equal(images[camera], image)


def test_parameters_come_before_the_description(models: list[Model]):
    backend().connect()
    backend(checkpoint="other/one", device="cuda", guidance=False).connect()

    params = GuidanceParams("linear", 10.0)
    step_ns = policy().step_ns
    assert [model.loaded for model in models] == [
        (("nobody/nothing", "cpu"), {"step_ns": step_ns, "guidance": params}),
        (("other/one", "cuda"), {"step_ns": step_ns, "guidance": None}),
    ]


def test_the_first_inference_is_done_before_the_first_observation(models: list[Model]):
    backend().connect()

    (_, images, state, task, guidance), guided = models[0].asked
    assert {image.shape for image in images.values()} == {(48, 64, 3)}
    assert {int(value) for image in images.values() for value in np.unique(image)} == {128}
    # The middle of each joint's range, in degrees, and of the claw's.
    np.testing.assert_allclose(state, [0.0, 0.0, 0.0, 0.0, 0.0, 10.0])
    assert (task, guidance) == ("", None)
    assert guided[-1].actions.shape == (HORIZON, len(NAMES))
    assert models[0].resets == 1


def test_a_policy_that_cannot_be_guided_is_not(
    models: list[Model], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Model, "guided", False)
    ours = backend()

    assert ours.connect().prefix == "none"
    ours.infer(observation(), prefix())
    assert [asked[-1] for asked in models[0].asked] == [None, None]


def test_a_prefix_is_passed_on(models: list[Model]):
    ours = backend()
    ours.connect()
    ours.infer(observation(), prefix())

    guidance: Guidance = models[0].asked[-1][-1]
    assert (guidance.delay, guidance.end, len(guidance.actions)) == (3, 5, 5)
    with pytest.raises(ActionError, match="claw/position"):
        ours.infer(observation(), prefix(names=(*NAMES[:5], "tail/position")))


def prefix(names: tuple[str, ...] = NAMES) -> Prefix:
    return Prefix(names, np.zeros((5, len(names))), inference_delay_s=0.1, execution_horizon=4)


@pytest.mark.parametrize(
    ("attribute", "value", "words"),
    [
        ("type", "smolvla", "lerobot.type: describes act, but .* has smolvla"),
        ("state_size", 7, "lerobot.state: describes 6, but .* has 7"),
        ("action_size", 5, "lerobot.action: describes 6, but .* has 5"),
        ("cameras", {}, "video: describes front, wrist, but .* has none"),
        ("length", HORIZON - 1, "horizon: describes 16 actions, but .* gives 15"),
    ],
)
@pytest.mark.usefixtures("models")
def test_a_checkpoint_other_than_described_is_refused(
    monkeypatch: pytest.MonkeyPatch, attribute: str, value: object, words: str
):
    monkeypatch.setattr(Model, attribute, value)
    ours = backend()

    with pytest.raises(ConfigError, match=rf"^lerobot\.yaml: {words}$"):
        ours.connect()
    with pytest.raises(BackendUnavailable, match="call connect first"):
        ours.infer(observation())


@pytest.mark.usefixtures("models")
def test_images_of_another_size_are_told_of(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING):
        backend().connect()
        assert not caplog.records
        backend(image=(24, 32)).connect()

    assert "trained on images of 48 x 64, camera head gives 24 x 32" in caplog.text


def test_reset_reaches_the_policy_and_close_lets_go_of_it(models: list[Model]):
    ours = backend()
    ours.reset()
    ours.connect()
    ours.reset()
    ours.close()
    ours.close()

    assert models[0].resets == 2
    with pytest.raises(BackendUnavailable, match="call connect first"):
        ours.infer(observation())
    ours.connect()
    ours.infer(observation())
    assert len(models) == 2


@pytest.mark.parametrize("missing", ["lerobot", "torch"])
def test_a_missing_library_is_explained_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, missing: str
):
    monkeypatch.delitem(sys.modules, lerobot_local._MODEL, raising=False)
    for name in [name for name in sys.modules if name.split(".", maxsplit=1)[0] == missing]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "lerobot" if missing == "lerobot" else "torch", None)

    with pytest.raises(
        ConfigError, match=r'cannot be imported: .*pip install "vla_ros\[lerobot\]"'
    ):
        backend().connect()


def test_a_description_without_the_section_is_refused():
    with pytest.raises(ConfigError, match="backend lerobot_local needs the section lerobot"):
        backend(dataclasses.replace(policy(), lerobot=None))
