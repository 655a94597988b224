# SPDX-License-Identifier: Apache-2.0
"""With stand-ins for the libraries; ``test_onnx_file``, ``test_torch_file`` have the real ones."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import numpy as np
import pytest

from test.core.refusals import refused
from vla_ros.backends._model_file import load_model_file, shapes
from vla_ros.core.errors import ConfigError

RUNTIMES = {".onnx": "_onnx_file", ".pt": "_torch_file", ".pt2": "_torch_file"}


def empty(folder: Path, suffix: str) -> Path:
    path = folder / f"model{suffix}"
    path.touch()
    return path


@pytest.mark.parametrize("suffix", RUNTIMES)
def test_the_files_end_says_what_runs_it(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    module = types.ModuleType("runtime")
    module.__dict__["load"] = lambda *loaded: loaded
    monkeypatch.setitem(sys.modules, f"vla_ros.backends.{RUNTIMES[suffix]}", module)
    path = empty(tmp_path, suffix)

    assert load_model_file(path, "cuda:1") == (path, "cuda:1")


@pytest.mark.parametrize(
    ("suffix", "library", "command"),
    [
        (".onnx", "onnxruntime", 'pip install "vla_ros[onnx]"'),
        (".pt", "torch", 'pip install "torch"'),
        (".pt2", "torch", 'pip install "torch"'),
    ],
)
def test_a_library_that_is_missing_is_named_with_how_to_install_it(
    suffix: str, library: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.delitem(sys.modules, f"vla_ros.backends.{RUNTIMES[suffix]}", raising=False)

    with refused(ConfigError, f"needs {library}, which cannot be imported", command):
        load_model_file(empty(tmp_path, suffix), "cpu")


def test_what_is_no_model_is_refused(tmp_path: Path):
    with refused(ConfigError, f"model {tmp_path}/model.pt: there is no such file"):
        load_model_file(tmp_path / "model.pt", "cpu")
    with refused(ConfigError, "must be a file that ends with one of .onnx, .pt, .pt2"):
        load_model_file(empty(tmp_path, ".safetensors"), "cpu")


def test_what_a_model_was_given_is_said():
    given = {"image": np.zeros((1, 3, 2, 2), np.float16), "state": np.zeros(6)}

    assert shapes(given) == "image (1, 3, 2, 2) float16, state (6,) float64"
    assert shapes({}) == ""
