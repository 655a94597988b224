# SPDX-License-Identifier: Apache-2.0
"""With the real torch; run by ``make test-peers``."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from test.core.helpers import robot
from test.core.refusals import refused
from test.support.model_files import HORIZON, chunk, observation, policy
from vla_ros.backends.base import BatchItem
from vla_ros.backends.torch_module import Backend, TorchModuleConfig
from vla_ros.core.errors import ConfigError, RemotePolicyError

pytestmark = pytest.mark.peer
_REASON = "no torch here; make test-peers installs it"
torch = pytest.importorskip("torch", reason=_REASON)
torch_file = pytest.importorskip("vla_ros.backends._torch_file", reason=_REASON)

STATE = np.array([0.25, 0.5])
ARRAYS = {
    "image": np.full((1, 3, 2, 3), 0.5, np.float32),
    "state": STATE.astype(np.float32)[None],
}
EXAMPLE = {name: torch.from_numpy(array) for name, array in ARRAYS.items()}


class Mover(torch.nn.Module):
    """The state, the mean shade, and a tenth more at each step."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("steps", torch.arange(HORIZON)[None, :, None] * 0.1)

    def forward(self, image: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        return state[:, None] + image.mean() + self.steps


class Apart(Mover):
    """Each observation for itself."""

    def forward(self, image: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        return state[:, None] + image.mean((1, 2, 3))[:, None, None] + self.steps


class Pair(Mover):
    def forward(  # type: ignore[override]
        self, image: torch.Tensor, state: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return image, state[:, None] + image.mean() + self.steps


class Named(Mover):
    def forward(  # type: ignore[override]
        self, image: torch.Tensor, state: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        return {"actions": state[:, None] + image.mean() + self.steps}


class Half(Mover):
    def forward(self, image: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        return (state[:, None] + image.mean() + self.steps).to(torch.bfloat16)


class Batch(Mover):
    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:  # type: ignore[override]
        return batch["state"][:, None] + batch["observation.image"].mean() + self.steps


def saved(model: Any, path: Path, *, most: int = 1) -> Path:
    """Written to a file; a torch.export file takes as many observations at once as told."""
    model.eval()
    if path.suffix == ".pt2":
        # What an axis is exported with as an example must not be 1.
        example = EXAMPLE if most == 1 else {name: torch.cat([array] * 2) for name, array in
                                             EXAMPLE.items()}  # fmt: skip
        any_number = {0: torch.export.Dim("batch", max=most)} if most > 1 else {}
        axes = dict.fromkeys(EXAMPLE, any_number)
        program = torch.export.export(model, (), kwargs=example, dynamic_shapes=axes)
        torch.export.save(program, path)
    else:
        torch.jit.save(torch.jit.trace(model, example_kwarg_inputs=EXAMPLE, strict=False), path)
    return path


@pytest.fixture(params=["model.pt", "model.pt2"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / request.param


def test_an_output_is_computed(path: Path):
    loaded = torch_file.load(saved(Mover(), path), "cpu")

    assert loaded.inputs == ("image", "state")
    assert loaded.description == f"{path} on cpu, torch {torch.__version__}"
    answer = loaded.run(ARRAYS, "any")
    assert answer.dtype == np.float32
    np.testing.assert_allclose(answer, chunk(STATE, 0.5), atol=1e-6)


def test_a_policy_acts_by_it(path: Path):
    ours = backend(saved(Mover(), path))
    ours.connect()

    actions = ours.infer(observation(shade=255)).actions

    np.testing.assert_allclose(actions, chunk(STATE, 1.0)[0], atol=1e-6)
    ours.close()


def backend(path: Path, **config: Any) -> Backend:
    described = policy(path.name, folder=path.parent)
    return Backend(TorchModuleConfig(**config), robot=robot(), policy=described)


def test_several_observations_are_answered_at_once(path: Path):
    ours = backend(saved(Apart(), path, most=16), max_batch=8)
    assert ours.connect().max_batch == 8
    shown = [observation(shade) for shade in (0, 51, 255)]

    chunks = ours.infer_batch([BatchItem(ours, seen) for seen in shown])

    for answer, seen, shade in zip(chunks, shown, (0.0, 0.2, 1.0), strict=True):
        np.testing.assert_allclose(answer.actions, chunk(STATE, shade)[0], atol=1e-6)
        np.testing.assert_allclose(answer.actions, ours.infer(seen).actions, atol=1e-6)


@pytest.mark.parametrize("most", [1, 7])
def test_a_model_exported_for_fewer_at_once_gets_one(most: int, tmp_path: Path):
    ours = backend(saved(Apart(), tmp_path / "model.pt2", most=most), max_batch=8)

    assert ours.connect().max_batch == 1
    actions = ours.infer(observation(shade=255)).actions
    np.testing.assert_allclose(actions, chunk(STATE, 1.0)[0], atol=1e-6)


def test_a_model_that_mixes_observations_up_gets_one(path: Path):
    assert backend(saved(Mover(), path, most=16)).connect().max_batch == 1


@pytest.mark.parametrize(
    ("kind", "output", "known"), [(Pair, "1", "0, 1"), (Named, "actions", "actions")]
)
def test_one_of_several_outputs_is_chosen(kind: Any, output: str, known: str, path: Path):
    loaded = torch_file.load(saved(kind(), path), "cpu")

    np.testing.assert_allclose(loaded.run(ARRAYS, output), chunk(STATE, 0.5), atol=1e-6)
    with refused(RemotePolicyError, f"the model has no output '7'; it has {known}"):
        loaded.run(ARRAYS, "7")


def test_what_numpy_does_not_have_becomes_single_precision(path: Path):
    answer = torch_file.load(saved(Half(), path), "cpu").run(ARRAYS, "any")

    assert answer.dtype == np.float32
    np.testing.assert_allclose(answer, chunk(STATE, 0.5), atol=0.02)


def test_inputs_may_stand_in_a_dict_and_without_names(tmp_path: Path):
    batch = {"observation.image": EXAMPLE["image"], "state": EXAMPLE["state"]}
    torch.export.save(torch.export.export(Batch(), (batch,)), tmp_path / "model.pt2")

    loaded = torch_file.load(tmp_path / "model.pt2", "cpu")

    assert loaded.inputs == ("batch_observation_image", "batch_state")
    named = {f"batch_{name}": array for name, array in ARRAYS.items()}
    named["batch_observation_image"] = named.pop("batch_image")
    np.testing.assert_allclose(loaded.run(named, "any"), chunk(STATE, 0.5), atol=1e-6)


def test_what_it_cannot_compute_is_said_in_its_own_words(path: Path):
    loaded = torch_file.load(saved(Mover(), path), "cpu")

    with refused(
        RemotePolicyError, "the model failed on image (1, 3,", "state (2, 3, 4) float32: "
    ):
        loaded.run({**ARRAYS, "state": np.zeros((2, 3, 4), np.float32)}, "any")


def test_what_cannot_be_loaded_is_refused(path: Path):
    with refused(ConfigError, f"model {path} cannot be loaded on cpu: "):
        torch_file.load(path, "cpu")
    path.write_bytes(b"nothing of the kind")
    with refused(ConfigError, f"model {path} cannot be loaded on cpu: "):
        torch_file.load(path, "cpu")


@pytest.mark.parametrize("device", ["gpu", "cuda:99"])
def test_a_device_that_is_not_there_is_refused(device: str, path: Path):
    saved(Mover(), path)

    with refused(ConfigError, f"model {path} cannot be loaded on {device}: "):
        torch_file.load(path, device)


class Mark:
    """Leaves a mark when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.path,)


def test_a_pickled_model_is_not_loaded(tmp_path: Path):
    mark, path = tmp_path / "mark", tmp_path / "model.pt"
    torch.save({"model": Mark(mark)}, path)

    with refused(ConfigError, f"model {path} cannot be loaded on cpu: "):
        torch_file.load(path, "cpu")
    assert not mark.exists()
    torch.load(path, weights_only=False)  # the mark works
    assert mark.exists()


def test_pickles_in_an_exported_model_are_not_run(tmp_path: Path):
    mark, good, bad = tmp_path / "mark", tmp_path / "good.pt2", tmp_path / "model.pt2"
    saved(Mover(), good)
    torch.save(Mark(mark), tmp_path / "pickle")
    found = 0
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(bad, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            # All that torch itself wrote with torch.save: they begin as zip files do.
            if data.startswith(b"PK"):
                data, found = (tmp_path / "pickle").read_bytes(), found + 1
            target.writestr(name, data)
    assert found

    with refused(ConfigError, f"model {bad} cannot be loaded on cpu: "):
        torch_file.load(bad, "cpu")
    assert not mark.exists()
    assert torch_file._NO_PICKLES not in os.environ


def test_what_the_user_said_of_pickles_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(torch_file._NO_PICKLES, "0")
    torch_file.load(saved(Mover(), tmp_path / "model.pt2"), "cpu")

    assert os.environ[torch_file._NO_PICKLES] == "0"
