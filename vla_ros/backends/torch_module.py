# SPDX-License-Identifier: Apache-2.0
"""A model's file in this process: TorchScript, torch.export or ONNX.

The section ``model`` of the policy's description says which input is what. A model of this kind
reads no words and remembers nothing: the instruction does not reach it, and there is nothing to
reset. One thread. No call can be broken off: ``infer`` takes as long as the model does.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_ros.backends._model_arrays import actions_of, arrays_for
from vla_ros.backends._model_file import ModelFile, load_model_file
from vla_ros.backends._warm_up import grey_observation
from vla_ros.backends.base import PolicyBackend, PolicyInfo
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.errors import BackendUnavailable, ConfigError, RemotePolicyError
from vla_ros.core.observation import Observation, Prefix
from vla_ros.core.params import param
from vla_ros.core.policy_io import actions_from, policy_input, split_columns


@dataclass(frozen=True, slots=True)
class TorchModuleConfig:
    """Which model, and where it runs."""

    file: str = param(
        "", "A .pt, .pt2 or .onnx file; empty: the one that the policy names.", read_only=True
    )
    device: str = param(
        "", "cpu, cuda or cuda:1; empty: the one that the policy names.", read_only=True
    )


class Backend(PolicyBackend):
    """Calls a model."""

    Config = TorchModuleConfig
    _loaded: ModelFile | None = None

    def __init__(self, config: TorchModuleConfig, **facts: Any) -> None:
        """Keep the facts; see ``PolicyBackend``.

        Raises:
            ConfigError: The policy's description does not say what the model's inputs are.
        """
        super().__init__(config, **facts)
        self._model = self.policy.model_for("backend torch_module needs")

    def connect(self) -> PolicyInfo:
        """Load the model, check it against the description, and let it infer twice.

        The first inferences are slow, because libraries choose and compile what they run; they are
        not left to the first observation.

        Raises:
            ConfigError: The file cannot be loaded, what it needs is not installed, or it has other
                inputs or gives other actions than described.
            RemotePolicyError: The model fails on grey images of the robot's cameras.
        """
        self.close()
        loaded = load_model_file(self._path(), self.config.device or self._model.device)
        if set(loaded.inputs) != set(self._model.inputs):
            raise ConfigError(
                f"{self.policy.source}: model.inputs: describes {', '.join(self._model.inputs)},"
                f" but the model {loaded.description} has {', '.join(loaded.inputs) or 'none'}"
            )
        seen = grey_observation(self.robot, self.policy, stamp_ns=self.now_ns())
        for _ in range(2):
            self._infer(loaded, seen)
        self._loaded = loaded
        return PolicyInfo(description=f"model {loaded.description}, in process")

    def infer(self, observation: Observation, prefix: Prefix | None = None) -> ActionChunk:
        """The chunk for an observation; see ``PolicyBackend``. A prefix is ignored.

        Raises:
            BackendUnavailable: ``connect`` was not called.
            RemotePolicyError: The model failed.
        """
        if self._loaded is None:
            raise BackendUnavailable("the model is not loaded; call connect first")
        sent_ns = self.now_ns()
        values = self._infer(self._loaded, observation)
        received_ns = self.now_ns()
        by_key = split_columns(self.policy.action, values)
        actions = actions_from(self.policy, by_key)
        return self.chunk(observation, actions, sent_ns=sent_ns, received_ns=received_ns)

    def reset(self) -> None:
        """Do nothing: such a model remembers nothing."""

    def close(self) -> None:
        """Let go of the model, and of its memory."""
        self._loaded = None

    def _path(self) -> Path:
        if self.config.file:
            return Path(self.config.file)
        return Path(self.policy.source).parent / self._model.file

    def _infer(self, loaded: ModelFile, observation: Observation) -> NDArray[np.float64]:
        """(H, D) As many actions as described, in the policy's units."""
        arrays = arrays_for(self._model, policy_input(self.policy, observation))
        values = actions_of(self._model, loaded.run(arrays, self._model.output))
        horizon, size = self.policy.horizon, len(self.policy.action_names)
        if values.shape[1] != size or len(values) < horizon:
            raise RemotePolicyError(
                f"output {self._model.output!r} has {len(values)} actions of {values.shape[1]}"
                f" values; {self.policy.source} describes {horizon} of {size}"
            )
        return values[:horizon]
