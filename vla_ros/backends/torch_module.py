# SPDX-License-Identifier: Apache-2.0
"""A model's file in this process: TorchScript, torch.export or ONNX.

The section ``model`` of the policy's description says which input is what. A model of this kind
reads no words and remembers nothing: the instruction does not reach it, and there is nothing to
reset. One thread. No call can be broken off: ``infer`` takes as long as the model does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_ros.backends._batches import found_max_batch, in_groups, require_batch
from vla_ros.backends._model_arrays import arrays_for, chunks_of, joined, takes_batches
from vla_ros.backends._model_file import ModelFile, load_model_file, shapes
from vla_ros.backends._warm_up import grey_observation, unlike_observations
from vla_ros.backends.base import BatchItem, PolicyBackend, PolicyInfo
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
    max_batch: int = param(
        16, "Observations inferred at once at most, if the model can.", ge=1, le=1024,
        read_only=True,
    )  # fmt: skip


class Backend(PolicyBackend):
    """Calls a model."""

    Config = TorchModuleConfig
    _loaded: ModelFile | None = None
    _max_batch = 1

    def __init__(self, config: TorchModuleConfig, **facts: Any) -> None:
        """Keep the facts; see ``PolicyBackend``.

        Raises:
            ConfigError: The policy's description does not say what the model's inputs are.
        """
        super().__init__(config, **facts)
        self._model = self.policy.model_for("backend torch_module needs")

    def connect(self) -> PolicyInfo:
        """Load the model, check it against the description, and let it infer a few times.

        The first inferences are slow, because libraries choose and compile what they run; they are
        not left to the first observation. Whether the model takes several observations at once is
        found out by trying.

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
            self._infer(loaded, [seen])
        self._max_batch = found_max_batch(
            self.config.max_batch if takes_batches(self._model) else 1,
            lambda observations: self._infer(loaded, observations),
            unlike_observations(self.robot, self.policy, stamp_ns=self.now_ns()),
        )
        self._loaded = loaded
        return PolicyInfo(
            description=f"model {loaded.description}, in process", max_batch=self._max_batch
        )

    def infer(self, observation: Observation, prefix: Prefix | None = None) -> ActionChunk:
        """The chunk for an observation; see ``PolicyBackend``. A prefix is ignored.

        Raises:
            BackendUnavailable: ``connect`` was not called.
            RemotePolicyError: The model failed.
        """
        return self._chunks([observation])[0]

    def infer_batch(self, items: Sequence[BatchItem]) -> list[ActionChunk]:
        """A chunk for each of several observations; see ``PolicyBackend``. Prefixes are ignored.

        Raises:
            BackendUnavailable: ``connect`` was not called.
            RemotePolicyError: The model failed, or there are more than it infers at once.
        """
        return self._chunks([item.observation for item in items])

    def reset(self) -> None:
        """Do nothing: such a model remembers nothing."""

    def close(self) -> None:
        """Let go of the model, and of its memory."""
        self._loaded = None

    def _path(self) -> Path:
        if self.config.file:
            return Path(self.config.file)
        return Path(self.policy.source).parent / self._model.file

    def _chunks(self, observations: Sequence[Observation]) -> list[ActionChunk]:
        if self._loaded is None:
            raise BackendUnavailable("the model is not loaded; call connect first")
        require_batch(observations, self._max_batch)
        sent_ns = self.now_ns()
        answers = self._infer(self._loaded, observations)
        received_ns = self.now_ns()
        chunks = []
        for observation, values in zip(observations, answers, strict=True):
            by_key = split_columns(self.policy.action, values)
            actions = actions_from(self.policy, by_key)
            chunks.append(
                self.chunk(observation, actions, sent_ns=sent_ns, received_ns=received_ns)
            )
        return chunks

    def _infer(
        self, loaded: ModelFile, observations: Sequence[Observation]
    ) -> list[NDArray[np.float64]]:
        """(H, D) for each: as many actions as described, in the policy's units."""
        model, policy = self._model, self.policy

        def run(arrays: Sequence[Mapping[str, NDArray[Any]]]) -> list[NDArray[np.float64]]:
            values = chunks_of(model, loaded.run(joined(arrays), model.output), len(arrays))
            _, horizon, size = values.shape
            if size != len(policy.action_names) or horizon < policy.horizon:
                raise RemotePolicyError(
                    f"output {model.output!r} has {horizon} actions of {size} values;"
                    f" {policy.source} describes {policy.horizon} of {len(policy.action_names)}"
                )
            return list(values[:, : policy.horizon])

        given = [arrays_for(model, policy_input(policy, one)) for one in observations]
        # Cameras of several sizes do not fit into one batch.
        return in_groups(given, shapes, run)
