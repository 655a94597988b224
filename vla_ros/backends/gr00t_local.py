# SPDX-License-Identifier: Apache-2.0
"""A GR00T checkpoint in this process, by NVIDIA's own ``Gr00tPolicy`` (N1.6 and later).

Everything that GR00T does with an observation and its actions is done by GR00T itself. Its package
gr00t is imported when a policy is loaded; it is not on PyPI. Checked against a stand-in of the same
interface, not with real weights. One thread. No call can be broken off: ``infer`` takes as long as
the policy does, and ``connect`` as long as it takes to load it.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from vla_ros.backends._warm_up import grey_observation
from vla_ros.backends.base import PolicyBackend, PolicyInfo
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.errors import BackendUnavailable, ConfigError, RemotePolicyError, VlaRosError
from vla_ros.core.observation import Observation, Prefix
from vla_ros.core.params import REQUIRED, param
from vla_ros.core.policy_io import actions_from, policy_input
from vla_ros.wire.gr00t.action import decode_action
from vla_ros.wire.gr00t.modality import ModalityConfig, check_modality
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


class Backend(PolicyBackend):
    """Calls a policy of GR00T."""

    Config = Gr00tLocalConfig
    _loaded: Any = None

    def connect(self) -> PolicyInfo:
        """Load the policy, check it against the description, and let it infer once.

        The first inference is slow, so that it is not left to the first observation.

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
        self._infer(loaded, grey_observation(self.robot, self.policy, stamp_ns=self.now_ns()))
        self._loaded = loaded
        self.reset()
        return PolicyInfo(
            description=f"GR00T's {config.checkpoint} ({config.embodiment_tag}) on {config.device},"
            " in process"
        )

    def infer(self, observation: Observation, prefix: Prefix | None = None) -> ActionChunk:
        """The chunk for an observation; see ``PolicyBackend``. A prefix is ignored, as by GR00T.

        Raises:
            BackendUnavailable: ``connect`` was not called.
            RemotePolicyError: The policy failed.
        """
        if self._loaded is None:
            raise BackendUnavailable("the policy is not loaded; call connect first")
        return self._infer(self._loaded, observation)

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

    def _infer(self, loaded: Any, observation: Observation) -> ActionChunk:
        tree = encode_observation(policy_input(self.policy, observation), _ARRANGEMENT)
        sent_ns = self.now_ns()
        with _failing("GR00T failed", RemotePolicyError):
            actions, info = loaded.get_action(tree)
        received_ns = self.now_ns()
        by_key = decode_action([actions, info], _ARRANGEMENT, self.policy.action)
        return self.chunk(
            observation,
            actions_from(self.policy, by_key),
            sent_ns=sent_ns,
            received_ns=received_ns,
        )


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
