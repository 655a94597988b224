# SPDX-License-Identifier: Apache-2.0
"""With the real onnxruntime; run by ``make test-peers``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from test.core.helpers import robot
from test.core.refusals import refused
from test.support.model_files import HORIZON, chunk, observation, policy
from vla_ros.backends.base import BatchItem
from vla_ros.backends.torch_module import Backend, TorchModuleConfig
from vla_ros.core.errors import ConfigError, RemotePolicyError

pytestmark = pytest.mark.peer
_REASON = "no onnxruntime here; make test-peers installs it"
onnx = pytest.importorskip("onnx", reason=_REASON)
onnx_file = pytest.importorskip("vla_ros.backends._onnx_file", reason=_REASON)

STATE = np.array([0.25, 0.5])
ARRAYS = {
    "image": np.full((1, 3, 2, 3), 0.5, np.float32),
    "state": STATE.astype(np.float32)[None],
}


def saved(path: Path, batch: int | str = 1) -> Path:
    """``actions`` is the state, the mean shade, and a tenth more at each step.

    The batch's axis has a length, or a name where it may have any.
    """
    make, kind = onnx.helper, onnx.TensorProto.FLOAT
    graph = make.make_graph(
        [
            make.make_node("ReduceMean", ["image"], ["shade"], axes=[1, 2, 3], keepdims=0),
            make.make_node("Unsqueeze", ["shade", "last"], ["shades"]),
            make.make_node("Add", ["state", "shades"], ["first"]),
            make.make_node("Unsqueeze", ["first", "middle"], ["row"]),
            make.make_node("Add", ["row", "steps"], ["actions"]),
        ],
        "mover",
        [
            make.make_tensor_value_info("image", kind, [batch, 3, 2, 3]),
            make.make_tensor_value_info("state", kind, [batch, 2]),
        ],
        [
            make.make_tensor_value_info("shade", kind, [batch]),
            make.make_tensor_value_info("actions", kind, [batch, HORIZON, 2]),
        ],
        [
            onnx.numpy_helper.from_array(np.array([1]), "last"),
            onnx.numpy_helper.from_array(np.array([1]), "middle"),
            onnx.numpy_helper.from_array(chunk(np.zeros(2), 0.0), "steps"),
        ],
    )
    versions = [make.make_opsetid("", 13)]
    onnx.save(make.make_model(graph, opset_imports=versions, ir_version=8), path)
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return saved(tmp_path / "model.onnx")


def backend(path: Path) -> Backend:
    described = policy(path.name, folder=path.parent)
    return Backend(TorchModuleConfig(), robot=robot(), policy=described)


def test_several_observations_are_answered_at_once_if_the_axis_has_any_length(tmp_path: Path):
    ours = backend(saved(tmp_path / "model.onnx", "batch"))
    assert ours.connect().max_batch == 16
    shown = [observation(shade) for shade in (0, 51, 255)]

    chunks = ours.infer_batch([BatchItem(ours, seen) for seen in shown])

    for answer, seen, shade in zip(chunks, shown, (0.0, 0.2, 1.0), strict=True):
        np.testing.assert_allclose(answer.actions, chunk(STATE, shade)[0], atol=1e-6)
        np.testing.assert_allclose(answer.actions, ours.infer(seen).actions, atol=1e-6)


def test_a_model_for_one_observation_gets_one(model: Path):
    assert backend(model).connect().max_batch == 1


def test_an_output_is_computed(model: Path):
    loaded = onnx_file.load(model, "cpu")

    assert loaded.inputs == ("image", "state")
    assert loaded.description.startswith(f"{model} on cpu, onnxruntime ")
    np.testing.assert_allclose(loaded.run(ARRAYS, "actions"), chunk(STATE, 0.5), atol=1e-6)
    assert loaded.run(ARRAYS, "shade").item() == 0.5


def test_a_policy_acts_by_it(model: Path):
    ours = backend(model)
    info = ours.connect()

    actions = ours.infer(observation(shade=255)).actions

    np.testing.assert_allclose(actions, chunk(STATE, 1.0)[0], atol=1e-6)
    assert info.description.startswith(f"model {model} on cpu, onnxruntime ")
    ours.close()


def test_what_it_cannot_compute_is_said_in_its_own_words(model: Path):
    loaded = onnx_file.load(model, "cpu")

    with refused(RemotePolicyError, "the model has no output 'chunk'; it has shade, actions"):
        loaded.run(ARRAYS, "chunk")
    for name, array in (
        ("image", np.zeros((1, 3, 4, 6), np.float32)),
        ("state", STATE[None]),
        ("state", np.zeros(2, np.float32)),
    ):
        given = f"{name} {array.shape} {array.dtype}"
        with refused(RemotePolicyError, "the model failed on image (1, 3, ", given):
            loaded.run({**ARRAYS, name: array}, "actions")


def test_what_cannot_be_loaded_is_refused(model: Path, tmp_path: Path):
    broken, half = tmp_path / "broken.onnx", tmp_path / "half.onnx"
    broken.write_bytes(b"nothing of the kind")
    half.write_bytes(model.read_bytes()[: model.stat().st_size // 2])
    for path in (broken, half, tmp_path / "absent.onnx"):
        with refused(ConfigError, f"model {path} cannot be loaded on cpu: "):
            onnx_file.load(path, "cpu")


@pytest.mark.parametrize("device", ["gpu", "cuda:first", "cpu:0", "mps"])
def test_an_unknown_device_is_refused(device: str, model: Path):
    with refused(ConfigError, "must be cpu, cuda or cuda:NUMBER", f"found {device!r}"):
        onnx_file.load(model, device)


def test_a_device_that_onnxruntime_was_not_built_for_is_refused(
    model: Path, monkeypatch: pytest.MonkeyPatch
):
    library = onnx_file.onnxruntime
    monkeypatch.setattr(library, "get_available_providers", lambda: ["CPUExecutionProvider"])

    with refused(ConfigError, "device cuda:1 needs onnxruntime with CUDAExec", "onnxruntime-gpu"):
        onnx_file.load(model, "cuda:1")


def test_a_model_that_would_silently_run_elsewhere_is_refused(
    model: Path, monkeypatch: pytest.MonkeyPatch
):
    library = onnx_file.onnxruntime
    if "CUDAExecutionProvider" in library.get_available_providers():
        pytest.skip("there is a GPU here")
    monkeypatch.setattr(library, "get_available_providers", lambda: ["CUDAExecutionProvider"])

    with refused(ConfigError, f"model {model} cannot be loaded on cuda: "):
        onnx_file.load(model, "cuda")
