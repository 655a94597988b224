# SPDX-License-Identifier: Apache-2.0
"""A model in an ONNX file, run by onnxruntime. Needs onnxruntime, which nothing else imports.

Nothing in such a file is a program of its own: it names operators that onnxruntime has. Libraries
with further operators are not loaded. One thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as failures

from vla_ros.backends._model_file import shapes
from vla_ros.core.errors import ConfigError, RemotePolicyError

_CPU, _CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
# What onnxruntime raises, whatever is wrong. They have no base of their own.
_FAILURES = (
    failures.EPFail, failures.Fail, failures.InvalidArgument, failures.InvalidGraph,
    failures.InvalidProtobuf, failures.NoSuchFile, failures.NotImplemented,
    failures.RuntimeException, RuntimeError, ValueError,
)  # fmt: skip


class OnnxFile:
    """A model that was loaded; see ``ModelFile``."""

    def __init__(self, path: Path, device: str) -> None:
        """Load a file; see ``load_model_file``."""
        provider, options = _provider(path, device)
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), providers=[provider], provider_options=[options]
            )
        except _FAILURES as error:
            raise ConfigError(f"model {path} cannot be loaded on {device}: {error}") from error
        # It would go on without the device, on the CPU, and say so in its log alone.
        if provider not in self._session.get_providers():
            raise ConfigError(f"model {path} cannot be loaded on {device}: {provider} failed")
        self.inputs = tuple(item.name for item in self._session.get_inputs())
        self._outputs = tuple(item.name for item in self._session.get_outputs())
        self.description = f"{path} on {device}, onnxruntime {onnxruntime.__version__}"

    def run(self, arrays: Mapping[str, NDArray[Any]], output: str) -> NDArray[Any]:
        """One output of the model; see ``ModelFile``."""
        if output not in self._outputs:
            raise RemotePolicyError(
                f"the model has no output {output!r}; it has {', '.join(self._outputs)}"
            )
        try:
            return np.asarray(self._session.run([output], dict(arrays))[0])
        except _FAILURES as error:
            raise RemotePolicyError(f"the model failed on {shapes(arrays)}: {error}") from error


load = OnnxFile


def _provider(path: Path, device: str) -> tuple[str, dict[str, str]]:
    kind, _, index = device.partition(":")
    if device == "cpu":
        return _CPU, {}
    if kind != "cuda" or not (index.isdigit() or device == "cuda"):
        raise ConfigError(
            f"model {path}: device must be cpu, cuda or cuda:NUMBER for onnxruntime,"
            f" found {device!r}"
        )
    available = onnxruntime.get_available_providers()
    if _CUDA not in available:
        raise ConfigError(
            f"model {path}: device {device} needs onnxruntime with {_CUDA}, this one has"
            f" {', '.join(available)}; install it with: pip install onnxruntime-gpu"
        )
    return _CUDA, {"device_id": index or "0"}
