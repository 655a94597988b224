# SPDX-License-Identifier: Apache-2.0
"""A model in a TorchScript (.pt) or torch.export (.pt2) file. Needs torch, which little else does.

Both kinds are programs of torch's operators; neither may bring pickled Python along. A pickled
model, which also ends with ``.pt``, could run anything and is not loaded. Still, such a program is
as trusted as the person who made it. One thread.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import BadZipFile

import torch
from numpy.typing import NDArray
from torch.export.passes import move_to_device_pass

from vla_ros.backends._model_file import shapes
from vla_ros.core.errors import ConfigError, RemotePolicyError, VlaRosError

# torch.export.load reads pickles of any kind where it finds no other, unless it is told this.
_NO_PICKLES = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
# What torch raises, whatever is wrong.
_FAILURES = (
    AssertionError, AttributeError, BadZipFile, LookupError, OSError, RuntimeError, TypeError,
    UnpicklingError, ValueError,
)  # fmt: skip
Call = Callable[[Mapping[str, torch.Tensor]], Any]


class TorchFile:
    """A model that was loaded; see ``ModelFile``."""

    def __init__(self, path: Path, device: str) -> None:
        """Load a file; see ``load_model_file``."""
        with _failing(f"model {path} cannot be loaded on {device}", ConfigError):
            self._device = torch.device(device)
            read = _exported if path.suffix == ".pt2" else _scripted
            self.inputs, self._call = read(path, self._device)
        self.description = f"{path} on {device}, torch {torch.__version__}"

    def run(self, arrays: Mapping[str, NDArray[Any]], output: str) -> NDArray[Any]:
        """One output of the model; see ``ModelFile``.

        A model that gives one tensor gives that. From a dict, ``output`` is the key; from a tuple,
        its index.
        """
        failing = _failing(f"the model failed on {shapes(arrays)}", RemotePolicyError)
        with failing, torch.inference_mode():
            tensors = {
                name: torch.from_numpy(array).to(self._device) for name, array in arrays.items()
            }
            chosen = _chosen(self._call(tensors), output)
            if chosen.dtype == torch.bfloat16:  # numpy has no such type
                chosen = chosen.float()
            values: NDArray[Any] = chosen.cpu().numpy()
        return values


load = TorchFile


def _scripted(path: Path, device: torch.device) -> tuple[tuple[str, ...], Call]:
    module = torch.jit.load(str(path), map_location=device).eval()
    names = tuple(argument.name for argument in module.forward.schema.arguments[1:])
    return names, lambda tensors: module(**tensors)


def _exported(path: Path, device: torch.device) -> tuple[tuple[str, ...], Call]:
    with _without_pickles():
        program = torch.export.load(str(path))
    program = move_to_device_pass(program, str(device))
    names, form, module = (
        program.graph_signature.user_inputs,
        program.call_spec.in_spec,
        program.module(),
    )

    def call(tensors: Mapping[str, torch.Tensor]) -> Any:
        args, kwargs = form.unflatten([tensors[name] for name in names])
        return module(*args, **kwargs)

    return tuple(names), call


@contextmanager
def _without_pickles() -> Iterator[None]:
    before = os.environ.get(_NO_PICKLES)
    os.environ[_NO_PICKLES] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_NO_PICKLES]
        else:
            os.environ[_NO_PICKLES] = before


def _chosen(answer: Any, output: str) -> torch.Tensor:
    if isinstance(answer, Mapping):
        found = answer.get(output)
        known = ", ".join(map(str, answer))
    elif isinstance(answer, (tuple, list)):
        found = answer[int(output)] if output.isdigit() and int(output) < len(answer) else None
        known = ", ".join(map(str, range(len(answer))))
    else:
        found, known = answer, "something that is no tensor"
    if not isinstance(found, torch.Tensor):
        raise RemotePolicyError(f"the model has no output {output!r}; it has {known}")
    return found


@contextmanager
def _failing(what: str, error: type[VlaRosError]) -> Iterator[None]:
    """Says what failed, in torch's words."""
    try:
        yield
    except _FAILURES as failure:
        raise error(f"{what}: {type(failure).__name__}: {failure}") from failure
