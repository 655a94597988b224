# SPDX-License-Identifier: Apache-2.0
"""Against LeRobot itself, with small policies of random weights; run by ``make test-peers``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from test.support.lerobot_arm import (
    CAMERAS,
    HORIZON,
    INSTRUCTION,
    LOOKS_BACK,
    RATE_HZ,
    VALUES,
    observation,
    state_of,
)
from vla_ros.backends._lerobot_guidance import Guidance, GuidanceParams
from vla_ros.backends._lerobot_history import Shown
from vla_ros.core.errors import ConfigError, RemotePolicyError
from vla_ros.core.observation import Observation

pytestmark = pytest.mark.peer
_REASON = "no lerobot here; make test-peers installs it"
torch = pytest.importorskip("torch", reason=_REASON)
theirs = pytest.importorskip("test.peers.lerobot_pipeline", reason=_REASON)
made = pytest.importorskip("test.peers.lerobot_checkpoints", reason=_REASON)
LeRobotModel = pytest.importorskip("vla_ros.backends._lerobot_model", reason=_REASON).LeRobotModel

KINDS = ("act", "diffusion", "vqbet", "smolvla")
STEP_NS = round(1e9 / RATE_HZ)
LINEAR = GuidanceParams("linear", 10.0)


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("checkpoints")
    for kind in KINDS:
        made.make_checkpoint(kind, folder / kind)
    return {kind: folder / kind for kind in KINDS}


def ours(folder: Path, guidance: GuidanceParams | None = LINEAR) -> Any:
    return LeRobotModel(str(folder), "cpu", step_ns=STEP_NS, guidance=guidance)


def shown(model: Any, seen: Observation, history: Any = None, task: str = INSTRUCTION) -> Shown:
    """An observation of a robot with a history; by default, of one that saw nothing before."""
    images = dict(zip(CAMERAS, seen.images.values(), strict=True))
    given = {camera: images[camera] for camera in model.cameras}
    return Shown(seen.stamp_ns, given, state_of(seen), task, history or model.new_history())


def predict(
    model: Any, seen: Observation, guidance: Guidance | None = None, history: Any = None
) -> np.ndarray:
    torch.manual_seed(7)
    return model.predict(shown(model, seen, history), guidance)


def their_answer(pipeline: Any, seen: Observation, **how: Any) -> np.ndarray:
    torch.manual_seed(7)
    return pipeline.predict(seen, **how)


@pytest.mark.parametrize("kind", KINDS)
def test_actions_are_those_of_lerobots_own_pipeline(checkpoints: dict[str, Path], kind: str):
    pipeline, model = theirs.Pipeline(checkpoints[kind]), ours(checkpoints[kind])
    history = model.new_history()

    for index in range(4):
        actions = predict(model, observation(index), history=history)

        assert actions.dtype == np.float32
        assert actions.shape[1] == len(VALUES)
        np.testing.assert_array_equal(actions, their_answer(pipeline, observation(index)))
    assert model.type == kind
    assert model.cameras == dict.fromkeys(model.cameras, (48, 64))
    assert (model.state_size, model.action_size) == (6, 6)


@pytest.mark.parametrize("kind", sorted(LOOKS_BACK))
def test_what_was_seen_at_another_time_or_in_another_episode_is_not_the_step_before(
    checkpoints: dict[str, Path], kind: str
):
    model = ours(checkpoints[kind])

    def alone(index: int) -> np.ndarray:
        return their_answer(theirs.Pipeline(checkpoints[kind]), observation(index))

    one, other = model.new_history(), model.new_history()
    predict(model, observation(0), history=one)
    assert not np.array_equal(predict(model, observation(1), history=one), alone(1))
    np.testing.assert_array_equal(predict(model, observation(1), history=other), alone(1))
    np.testing.assert_array_equal(predict(model, observation(9), history=one), alone(9))
    one.clear()
    np.testing.assert_array_equal(predict(model, observation(10), history=one), alone(10))


def no_lots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes what policies draw nothing, so that a batch draws what each alone would."""

    def nothing(*size: Any, **how: Any) -> Any:
        how.pop("generator", None)
        return torch.zeros(*(() if "size" in how else size), **how)

    monkeypatch.setattr(torch, "randn", nothing)
    monkeypatch.setattr(
        torch, "normal", lambda mean, std, size, **how: torch.full(size, float(mean), **how)
    )
    # VQ-BeT draws which of its codes it takes.
    monkeypatch.setattr(
        torch, "multinomial", lambda chances, num_samples: chances.topk(num_samples).indices
    )


@pytest.mark.parametrize("kind", KINDS)
def test_several_observations_are_answered_at_once_as_each_alone(
    checkpoints: dict[str, Path], kind: str, monkeypatch: pytest.MonkeyPatch
):
    no_lots(monkeypatch)
    model = ours(checkpoints[kind])
    calls, whole = [], model._policy.predict_action_chunk

    def counted(batch: dict[str, Any], **how: Any) -> Any:
        calls.append(len(batch["observation.state"]))
        return whole(batch, **how)

    def robots() -> list[Shown]:
        """One that saw something a step before, one that did not, and one that saw more."""
        seen = []
        for first, last in ((4, 5), (20, 20), (37, 40)):
            history = model.new_history()
            for index in range(first, last):
                model.predict(shown(model, observation(index), history))
            seen.append(shown(model, observation(last), history))
        return seen

    alone = [model.predict(one) for one in robots()]
    batch = robots()
    monkeypatch.setattr(model._policy, "predict_action_chunk", counted)
    together = model.predict_all(batch)
    again = model.predict_all(batch[::-1])[::-1]

    assert calls == [3, 3]
    for actions, repeated, expected in zip(together, again, alone, strict=True):
        assert actions.shape == expected.shape
        np.testing.assert_allclose(actions, expected, atol=1e-3)
        np.testing.assert_allclose(repeated, expected, atol=1e-3)
    assert np.abs(alone[0] - alone[1]).max() > 0.01 < np.abs(alone[1] - alone[2]).max()


def test_what_was_shown_before_is_seen_in_a_batch_too(
    checkpoints: dict[str, Path], monkeypatch: pytest.MonkeyPatch
):
    no_lots(monkeypatch)
    model, history = ours(checkpoints["diffusion"]), ours(checkpoints["diffusion"]).new_history()
    model.predict(shown(model, observation(0), history))

    after, fresh = model.predict_all(
        [shown(model, observation(1), history), shown(model, observation(1))]
    )

    assert np.abs(after - fresh).max() > 0.01


def test_instructions_of_several_lengths_are_answered_too(
    checkpoints: dict[str, Path], monkeypatch: pytest.MonkeyPatch
):
    no_lots(monkeypatch)
    model = ours(checkpoints["smolvla"])
    tasks = ("put the cube", "cube", "the cube put")
    seen = [shown(model, observation(index), task=task) for index, task in enumerate(tasks)]
    alone = [model.predict(one) for one in seen]

    for actions, expected in zip(model.predict_all(seen), alone, strict=True):
        np.testing.assert_allclose(actions, expected, atol=1e-3)
    assert model.predict_all([]) == []


def test_a_policy_is_guided_as_lerobot_guides_it(checkpoints: dict[str, Path]):
    model, pipeline = ours(checkpoints["smolvla"]), theirs.Pipeline(checkpoints["smolvla"])
    pipeline.chunk_in_real_time()
    free = predict(model, observation())
    committed = free[:9] + np.float32(10.0)

    guided = predict(model, observation(), Guidance(committed, delay=3, end=7))

    mean, std = (made.STATISTICS["action"][name] for name in ("mean", "std"))
    expected = their_answer(
        pipeline, observation(), inference_delay=3, execution_horizon=7,
        prev_chunk_left_over=(torch.from_numpy(committed)[None] - mean) / (std + 1e-8),
    )  # fmt: skip
    assert model.guided
    np.testing.assert_array_equal(guided, expected)
    np.testing.assert_array_equal(free, their_answer(pipeline, observation()))
    np.testing.assert_array_equal(predict(model, observation()), free)
    # The actions that are certain to be executed are met; those past the end are left alone.
    apart = np.abs(guided[:9] - committed).max(axis=1)
    assert apart[:3].max() < 1.0 < apart[7:].min()
    assert guided.shape == (HORIZON, len(VALUES))


@pytest.mark.parametrize(("kind", "guidance"), [("act", LINEAR), ("smolvla", None)])
def test_a_policy_that_cannot_be_guided_or_shall_not_be_says_so(
    checkpoints: dict[str, Path], kind: str, guidance: GuidanceParams | None
):
    model = ours(checkpoints[kind], guidance)
    free = predict(model, observation())

    assert not model.guided
    told = Guidance(free[:5] + np.float32(9.0), delay=2, end=5)
    np.testing.assert_array_equal(predict(model, observation(), told), free)


def _no_such_device(folder: Path) -> tuple[Path, str]:
    return folder, "abacus"


def _nothing(folder: Path) -> tuple[Path, str]:
    return folder / "nothing", "cpu"


def _no_configuration(folder: Path) -> tuple[Path, str]:
    (folder / "config.json").write_text("{")
    return folder, "cpu"


def _unknown_kind(folder: Path) -> tuple[Path, str]:
    (folder / "config.json").write_text('{"type": "oracle"}')
    return folder, "cpu"


def _cut_weights(folder: Path) -> tuple[Path, str]:
    (folder / "model.safetensors").write_bytes(b"0123456789")
    return folder, "cpu"


def _no_processors(folder: Path) -> tuple[Path, str]:
    (folder / "policy_preprocessor.json").unlink()
    return folder, "cpu"


@pytest.mark.parametrize(
    "damage",
    [_no_such_device, _nothing, _no_configuration, _unknown_kind, _cut_weights, _no_processors],
)
def test_a_checkpoint_that_cannot_be_loaded_is_named(tmp_path: Path, damage: Any):
    made.make_checkpoint("smolvla", tmp_path / "it")
    folder, device = damage(tmp_path / "it")

    with pytest.raises(ConfigError, match=rf"checkpoint {folder} cannot be loaded on {device}: "):
        LeRobotModel(str(folder), device, step_ns=STEP_NS, guidance=None)


def test_a_policy_that_fails_says_so_in_its_own_words(checkpoints: dict[str, Path]):
    model = ours(checkpoints["act"])

    with pytest.raises(RemotePolicyError, match=r"act failed: KeyError: .*images\.front"):
        model.predict(Shown(0, {}, np.zeros(6, np.float32), INSTRUCTION, model.new_history()))


def test_a_postprocessor_that_takes_single_actions_gets_those(
    checkpoints: dict[str, Path], monkeypatch: pytest.MonkeyPatch
):
    model = ours(checkpoints["act"])
    expected, whole = predict(model, observation()), model._after

    def last_of(actions: Any) -> Any:
        return whole(actions[:, -1] if actions.ndim == 3 else actions)

    monkeypatch.setattr(model, "_after", last_of)

    np.testing.assert_array_equal(predict(model, observation()), expected)


def test_actions_of_another_shape_are_refused(
    checkpoints: dict[str, Path], monkeypatch: pytest.MonkeyPatch
):
    model = ours(checkpoints["act"])
    monkeypatch.setattr(model, "_after", lambda actions: torch.cat([actions, actions]))

    with pytest.raises(RemotePolicyError, match=r"shape \(1, T, A\), found \(2, 16, 6\)"):
        predict(model, observation())


def test_another_number_of_chunks_is_refused(
    checkpoints: dict[str, Path], monkeypatch: pytest.MonkeyPatch
):
    model = ours(checkpoints["act"])
    whole = model._policy.predict_action_chunk
    monkeypatch.setattr(model._policy, "predict_action_chunk", lambda batch: whole(batch)[:1])

    with pytest.raises(RemotePolicyError, match="act must give 2 chunks of actions, found 1"):
        model.predict_all([shown(model, observation(index)) for index in range(2)])
