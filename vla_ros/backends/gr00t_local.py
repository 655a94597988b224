# SPDX-License-Identifier: Apache-2.0
"""A GR00T checkpoint in this process, by NVIDIA's own ``Gr00tPolicy`` (N1.6 and later).

Everything that GR00T does with an observation and its actions is done by GR00T itself. Its package
gr00t is imported when a policy is loaded; it is not on PyPI. Checked against a stand-in of the same
interface, not with real weights. One thread. No call can be broken off: ``infer`` takes as long as
the policy does, and ``connect`` as long as it takes to load it.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_ros.backends._batches import found_max_batch, in_groups, require_batch
from vla_ros.backends._warm_up import grey_observation, unlike_observations
from vla_ros.backends.base import BatchItem, PolicyBackend, PolicyInfo
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.errors import (
    BackendUnavailable,
    ConfigError,
    RemotePolicyError,
    VlaRosError,
    WireFormatError,
)
from vla_ros.core.observation import Observation, Prefix
from vla_ros.core.params import REQUIRED, param
from vla_ros.core.policy_io import actions_from, policy_input
from vla_ros.wire.gr00t.action import decode_action
from vla_ros.wire.gr00t.modality import LANGUAGE, STATE, VIDEO, ModalityConfig, check_modality
from vla_ros.wire.gr00t.observation import encode_observation
from vla_ros.wire.gr00t.wires import Arrangement, Gr00tWire, Layout

# What a policy takes in its own process is what its server takes off the newest wire.
_ARRANGEMENT = Arrangement(Gr00tWire.B, Layout.NESTED)
_INSTALL = 'pip install "gr00t @ git+https://github.com/NVIDIA/Isaac-GR00T"'
# What GR00T, torch and transformers raise, whatever is wrong.
_FAILURES = (
    AssertionError, AttributeError, ImportError, LookupError, OSError, RuntimeError, TypeError,
    ValueError,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Gr00tLocalConfig:
    """Which checkpoint, for which body, and where it runs."""

    checkpoint: str = param(REQUIRED, "A folder, or a name on the hub.", read_only=True)
    embodiment_tag: str = param(
        REQUIRED, "GR00T's name of the body, such as new_embodiment.", read_only=True
    )
    device: str = param("cuda", "Torch's device, such as cuda:1 or cpu.", read_only=True)
    denoising_steps: int = param(
        0, "Denoising steps of a chunk; 0: as many as the checkpoint says.", ge=0, le=100,
        read_only=True,
    )  # fmt: skip
    max_batch: int = param(
        8, "Observations inferred at once at most.", ge=1, le=1024, read_only=True
    )


class Backend(PolicyBackend):
    """Calls a policy of GR00T."""

    Config = Gr00tLocalConfig
    _loaded: Any = None
    _max_batch = 1

    def connect(self) -> PolicyInfo:
        """Load the policy, check it against the description, and let it infer a few times.

        The first inference is slow, so that it is not left to the first observation. Whether there
        is memory for a batch is found out by trying.

        Raises:
            ConfigError: gr00t is not installed, the checkpoint cannot be loaded, knows no such
                body or number of steps, or has other keys, history or horizon.
            RemotePolicyError: The policy fails on grey images of the robot's cameras.
        """
        self.close()
        config = self.config
        loaded = self._load()
        given = {
            name: ModalityConfig(tuple(modality.delta_indices), tuple(modality.modality_keys))
            for name, modality in loaded.get_modality_config().items()
        }
        check_modality(self.policy, given, server=f"{config.checkpoint} (in this process)")
        stamp_ns = self.now_ns()
        self._infer(loaded, [grey_observation(self.robot, self.policy, stamp_ns=stamp_ns)])
        self._max_batch = found_max_batch(
            config.max_batch,
            lambda observations: self._infer(loaded, observations),
            unlike_observations(self.robot, self.policy, stamp_ns=stamp_ns),
        )
        self._loaded = loaded
        self.reset()
        return PolicyInfo(
            description=f"GR00T's {config.checkpoint} ({config.embodiment_tag}) on {config.device},"
            " in process",
            max_batch=self._max_batch,
        )

    def infer(self, observation: Observation, prefix: Prefix | None = None) -> ActionChunk:
        """The chunk for an observation; see ``PolicyBackend``. A prefix is ignored, as by GR00T.

        Raises:
            BackendUnavailable: ``connect`` was not called.
            RemotePolicyError: The policy failed.
        """
        return self._chunks([observation])[0]

    def infer_batch(self, items: Sequence[BatchItem]) -> list[ActionChunk]:
        """A chunk for each of several observations; see ``PolicyBackend``. Prefixes are ignored.

        Raises:
            BackendUnavailable: ``connect`` was not called.
            RemotePolicyError: The policy failed, or there are more than it infers at once.
        """
        return self._chunks([item.observation for item in items])

    def reset(self) -> None:
        """Make the policy forget the episode.

        Raises:
            RemotePolicyError: It failed.
        """
        if self._loaded is not None:
            with _failing("GR00T's reset failed", RemotePolicyError):
                self._loaded.reset()

    def close(self) -> None:
        """Let go of the policy, and of its memory."""
        self._loaded = None

    def _load(self) -> Any:
        try:
            policies = importlib.import_module("gr00t.policy.gr00t_policy")
            tags = importlib.import_module("gr00t.data.embodiment_tags").EmbodimentTag
        except ImportError as error:
            raise ConfigError(
                f"backend gr00t_local needs gr00t (N1.6 or later), which cannot be imported:"
                f" {error}; install it with: {_INSTALL}"
            ) from error
        config = self.config
        tag = _tag(tags, config.embodiment_tag)
        what = f"checkpoint {config.checkpoint} cannot be loaded on {config.device}"
        with _failing(what, ConfigError):
            loaded = policies.Gr00tPolicy(tag, config.checkpoint, device=config.device)
        if config.denoising_steps:
            head: Any = getattr(loaded.model, "action_head", None)
            if not hasattr(head, "num_inference_timesteps"):
                raise ConfigError(
                    f"denoising_steps is {config.denoising_steps}, but the model of"
                    f" {config.checkpoint} has no number of steps; allowed with it: 0"
                )
            head.num_inference_timesteps = config.denoising_steps
        return loaded

    def _chunks(self, observations: Sequence[Observation]) -> list[ActionChunk]:
        if self._loaded is None:
            raise BackendUnavailable("the policy is not loaded; call connect first")
        require_batch(observations, self._max_batch)
        sent_ns = self.now_ns()
        answers = self._infer(self._loaded, observations)
        received_ns = self.now_ns()
        return [
            self.chunk(observation, actions, sent_ns=sent_ns, received_ns=received_ns)
            for observation, actions in zip(observations, answers, strict=True)
        ]

    def _infer(self, loaded: Any, observations: Sequence[Observation]) -> list[NDArray[np.float64]]:
        """(H, D) for each, in core units and ``policy.action_names`` order."""

        def run(trees: Sequence[Mapping[str, Any]]) -> list[NDArray[np.float64]]:
            with _failing("GR00T failed", RemotePolicyError):
                actions, info = loaded.get_action(_joined(trees))
            return [
                actions_from(self.policy, decode_action([one, info], _ARRANGEMENT, keys))
                for one in _taken_apart(actions, keys, len(trees))
            ]

        keys = tuple(self.policy.action)
        trees = [encode_observation(policy_input(self.policy, one), _ARRANGEMENT)
                 for one in observations]  # fmt: skip
        return in_groups(trees, _form, run)


def _form(tree: Mapping[str, Any]) -> tuple[tuple[int, ...], ...]:
    """The shapes of what is shown: cameras of several sizes do not fit into one batch."""
    return tuple(images.shape for images in tree[VIDEO].values())


def _joined(trees: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Observations (1, T, ...) as one (B, T, ...)."""
    first = trees[0]
    return {
        **{
            part: {key: np.concatenate([tree[part][key] for tree in trees]) for key in first[part]}
            for part in (VIDEO, STATE)
        },
        LANGUAGE: {
            key: [texts for tree in trees for texts in tree[LANGUAGE][key]]
            for key in first[LANGUAGE]
        },
    }


def _taken_apart(actions: Any, keys: Sequence[str], count: int) -> list[Any]:
    """Action key to (1, H, D) for each of B observations.

    Raises:
        WireFormatError: An action has not (B, H, D) values.
    """
    if count == 1 or not isinstance(actions, Mapping):
        return [actions] * count
    given = {key: actions[key] for key in keys if key in actions}
    for key, values in given.items():
        shape: tuple[Any, ...] = getattr(values, "shape", ())
        if len(shape) != 3 or shape[0] != count:
            raise WireFormatError(f"action key {key!r} must be ({count}, H, D); found {shape}")
    return [
        {key: values[index : index + 1] for key, values in given.items()} for index in range(count)
    ]


def _tag(tags: Any, wanted: str) -> Any:
    """A member of GR00T's enumeration, by its name or its value, in any case."""
    for tag in tags:
        if wanted.lower() in (tag.name.lower(), tag.value.lower()):
            return tag
    known = ", ".join(tag.value for tag in tags)
    raise ConfigError(f"embodiment_tag {wanted!r} is none of GR00T's, which are {known}")


@contextmanager
def _failing(what: str, error: type[VlaRosError]) -> Iterator[None]:
    """Says what failed, in the words of whoever failed."""
    try:
        yield
    except _FAILURES as failure:
        raise error(f"{what}: {type(failure).__name__}: {failure}") from failure
