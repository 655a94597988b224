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

from test.core.refusals import refused
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
from vla_ros.backends._lerobot_history import History, Shown
from vla_ros.backends.base import BatchItem
from vla_ros.backends.lerobot_local import Backend, LeRobotLocalConfig
from vla_ros.core.errors import ActionError, BackendUnavailable, ConfigError, RemotePolicyError
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
        # What was shown, in batches, and how each was guided.
        self.asked: list[tuple[list[Shown], Guidance | None]] = []

    def new_history(self) -> History[dict[str, Any]]:
        return History(2, policy().step_ns)

    def predict(self, shown: Shown, guidance: Guidance | None = None) -> np.ndarray:
        self.asked.append(([shown], guidance))
        return self._answer(shown)

    def predict_all(self, shown: list[Shown]) -> list[np.ndarray]:
        self.asked.append((list(shown), None))
        return [self._answer(one) for one in shown]

    def _answer(self, shown: Shown) -> np.ndarray:
        """From the oldest state that is shown."""
        window = shown.history.window(shown.stamp_ns, {"state": shown.state})
        return window[0]["state"] + np.arange(self.length, dtype=np.float32)[:, None]


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
    [shown], guidance = models[0].asked[-1]
    assert (shown.stamp_ns, shown.task, guidance) == (STAMP_NS, INSTRUCTION, None)
    assert shown.state.dtype == np.float32
    np.testing.assert_array_equal(shown.state, state_of(observation()))
    for camera, image in zip(CAMERAS, observation().images.values(), strict=True):
        np.testing.assert_array_equal(shown.images[camera], image)


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
    backend(max_batch=3).connect()

    ([first], free), (_, guidance), *several = models[0].asked
    assert {image.shape for image in first.images.values()} == {(48, 64, 3)}
    assert {int(value) for image in first.images.values() for value in np.unique(image)} == {128}
    # The middle of each joint's range, in degrees, and of the claw's.
    np.testing.assert_allclose(first.state, [0.0, 0.0, 0.0, 0.0, 0.0, 10.0])
    assert (first.task, free) == ("", None)
    assert guidance is not None
    assert guidance.actions.shape == (HORIZON, len(NAMES))
    assert [len(shown) for shown, _ in several] == [1, 1, 1, 3]


def test_a_policy_that_cannot_be_guided_is_not(
    models: list[Model], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Model, "guided", False)
    ours = backend()

    assert ours.connect().prefix == "none"
    ours.infer(observation(), prefix())
    assert [guidance for _, guidance in models[0].asked] == [None] * len(models[0].asked)


def test_a_prefix_is_passed_on(models: list[Model]):
    ours = backend()
    ours.connect()
    ours.infer(observation(), prefix())

    _, guidance = models[0].asked[-1]
    assert guidance is not None
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


def first_of(ours: Backend, index: int) -> np.ndarray:
    """The first action for one of a series of observations a step apart."""
    return ours.infer(observation(index)).actions[0]


def expected(index: int) -> np.ndarray:
    """The first action where an observation is the oldest that is shown."""
    return actions_of(state_of(observation(index)))


def test_a_reset_forgets_what_was_seen(models: list[Model]):
    ours = backend()
    ours.reset()
    ours.connect()

    np.testing.assert_allclose(first_of(ours, 0), expected(0), atol=1e-6)
    np.testing.assert_allclose(first_of(ours, 1), expected(0), atol=1e-6)
    ours.reset()
    np.testing.assert_allclose(first_of(ours, 2), expected(2), atol=1e-6)
    np.testing.assert_allclose(first_of(ours, 3), expected(2), atol=1e-6)
    ours.connect()
    np.testing.assert_allclose(first_of(ours, 4), expected(4), atol=1e-6)


def test_clients_share_the_policy_and_nothing_that_was_seen(models: list[Model]):
    server = backend(max_batch=2)
    info = server.connect()
    one, other = server.another(), server.another()
    asked = len(models[0].asked)

    assert one.connect() == other.connect() == info
    assert Backend.per_client
    assert (len(models), len(models[0].asked)) == (1, asked)
    first_of(one, 0)
    np.testing.assert_allclose(first_of(other, 1), expected(1), atol=1e-6)
    np.testing.assert_allclose(first_of(one, 1), expected(0), atol=1e-6)
    other.reset()
    np.testing.assert_allclose(first_of(one, 2), expected(1), atol=1e-6)
    one.close()
    np.testing.assert_allclose(first_of(other, 3), expected(3), atol=1e-6)
    with pytest.raises(BackendUnavailable, match="call connect first"):
        one.infer(observation())


def test_one_made_of_one_without_a_policy_loads_its_own(models: list[Model]):
    first = backend()
    made = first.another()
    made.connect()

    assert len(models) == 1
    for fact in ("config", "robot", "policy", "now_ns"):
        assert getattr(made, fact) is getattr(first, fact)


def several(server: Backend, count: int) -> list[BatchItem]:
    """What as many robots see, each of which has seen something before."""
    items = []
    for index in range(count):
        client = server.another()
        client.connect()
        client.infer(observation(10 * index))
        items.append(BatchItem(client, observation(10 * index + 1)))
    return items


@pytest.mark.parametrize("count", [1, 3])
def test_a_batch_is_answered_as_each_alone(count: int, models: list[Model]):
    server = backend(max_batch=3)
    server.connect()
    alone = [item.backend.infer(item.observation) for item in several(server, count)]
    items = several(server, count)
    models[0].asked.clear()

    chunks = server.infer_batch(items)

    assert [len(shown) for shown, _ in models[0].asked] == [count]
    assert [chunk.stamp_ns for chunk in chunks] == [item.observation.stamp_ns for item in items]
    for chunk, single in zip(chunks, alone, strict=True):
        np.testing.assert_array_equal(chunk.actions, single.actions)
    # What was shown in the batch is remembered too.
    np.testing.assert_allclose(
        first_of(items[-1].backend, 10 * count - 8), expected(10 * count - 9)
    )


def test_observations_with_a_prefix_are_inferred_alone(models: list[Model]):
    server = backend()
    server.connect()
    items = several(server, 3)
    items[1] = dataclasses.replace(items[1], prefix=prefix())
    models[0].asked.clear()

    chunks = server.infer_batch(items)

    (together, free), (alone, guidance) = models[0].asked
    assert [shown.stamp_ns for shown in together] == [
        items[index].observation.stamp_ns for index in (0, 2)
    ]
    assert [shown.stamp_ns for shown in alone] == [items[1].observation.stamp_ns]
    assert free is None
    assert guidance is not None
    assert [chunk.stamp_ns for chunk in chunks] == [item.observation.stamp_ns for item in items]


def test_a_prefix_that_cannot_be_heeded_stands_in_no_batchs_way(
    models: list[Model], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Model, "guided", False)
    server = backend()
    server.connect()
    items = [dataclasses.replace(item, prefix=prefix()) for item in several(server, 2)]
    models[0].asked.clear()

    server.infer_batch(items)

    assert [len(shown) for shown, _ in models[0].asked] == [2]


def test_more_than_it_infers_at_once_is_refused(models: list[Model]):
    server = backend(max_batch=2)
    with pytest.raises(BackendUnavailable, match="call connect first"):
        server.infer_batch([BatchItem(server, observation())])
    server.connect()

    with refused(RemotePolicyError, "a batch of 3 observations", "at most 2 at once"):
        server.infer_batch(several(server, 3))


def test_a_policy_that_fails_on_several_gets_one(
    models: list[Model], monkeypatch: pytest.MonkeyPatch
):
    def predict_all(self: Model, shown: list[Shown]) -> list[np.ndarray]:
        if len(shown) > 1:
            raise RemotePolicyError("act failed: RuntimeError: out of memory")
        return [self.predict(one) for one in shown]

    monkeypatch.setattr(Model, "predict_all", predict_all)

    assert backend().connect().max_batch == 1


def test_closing_lets_go_of_the_policy(models: list[Model]):
    ours = backend()
    ours.connect()
    ours.close()
    ours.close()

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
