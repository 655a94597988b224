# SPDX-License-Identifier: Apache-2.0
"""What is asked of a model's file, whichever library runs it. One thread."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from vla_ros.core.errors import ConfigError

# How a file's name ends: the module that runs it, what that needs, and how to install it.
_RUNTIMES = {
    ".onnx": ("_onnx_file", "onnxruntime", "vla_ros[onnx]"),
    ".pt": ("_torch_file", "torch", "torch"),
    ".pt2": ("_torch_file", "torch", "torch"),
}


class ModelFile(Protocol):
    """A model that was loaded.

    Attributes:
        description: What was loaded and what runs it, for people.
        inputs: Its own names of its inputs.
    """

    description: str
    inputs: tuple[str, ...]

    def run(self, arrays: Mapping[str, NDArray[Any]], output: str) -> NDArray[Any]:
        """One output of the model.

        Args:
            arrays: An array for each of ``inputs``.
            output: The name of the output that is wanted.

        Raises:
            RemotePolicyError: The model failed, or has no such output.
        """


def shapes(arrays: Mapping[str, NDArray[Any]]) -> str:
    """What a model was given, for the errors of those that do not say which input is wrong."""
    return ", ".join(f"{name} {array.shape} {array.dtype}" for name, array in arrays.items())


def load_model_file(path: Path, device: str) -> ModelFile:
    """Load a model's file.

    Args:
        path: A ``.pt`` (TorchScript), ``.pt2`` (torch.export) or ``.onnx`` file.
        device: ``cpu``, ``cuda`` or ``cuda:1``.

    Raises:
        ConfigError: There is no such file, the library that runs it is not installed, the device is
            not there, or the file cannot be loaded.
    """
    if path.suffix not in _RUNTIMES:
        known = ", ".join(_RUNTIMES)
        raise ConfigError(f"model {path}: must be a file that ends with one of {known}")
    if not path.is_file():
        raise ConfigError(f"model {path}: there is no such file")
    module, library, package = _RUNTIMES[path.suffix]
    try:
        runtime = importlib.import_module(f"vla_ros.backends.{module}")
    except ImportError as error:
        raise ConfigError(
            f"model {path} needs {library}, which cannot be imported: {error};"
            f' install it with: pip install "{package}"'
        ) from error
    load: Callable[[Path, str], ModelFile] = runtime.load
    return load(path, device)
