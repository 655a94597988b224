# SPDX-License-Identifier: Apache-2.0
"""The deployment ``Policy`` of the Ray Serve application: replicas, each of which loads policies.

Ray starts, spreads and restarts the replicas, decides which of them a request goes to, and forms
the batches. In a replica one thread touches the backends; the rest is its event loop's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from weakref import WeakValueDictionary

from ray import serve
from ray.serve.config import RequestRouterConfig

from vla_ros.core.errors import VlaRosError
from vla_ros.serving.asked import Client
from vla_ros.serving.policy_calls import Answer
from vla_ros.serving.ray.options import PolicyChoice, RayOptions, Settings
from vla_ros.serving.ray.replica import LoadedPolicy, PolicyThread, Question
from vla_ros.serving.sessions import MAX_SESSIONS

NAME = "Policy"
_NOT_LOADED = "loaded as soon as it is asked for"
# Keeps a robot with one replica, the one whose backend remembers its episode.
_STICKY = "ray.serve.experimental.consistent_hash_router.ConsistentHashRouter"


def policy_deployment(options: RayOptions) -> Any:
    """The deployment, not bound yet; a Serve config file may change what Ray decides of it.

    Where no backend remembers its client, Ray sends a request to the less busy of the replicas that
    have its policy loaded; else always to the same one, as long as that lives.

    Raises:
        ConfigError: A policy cannot be made.
    """
    settings = options.settings
    methods = {
        "load": serve.multiplexed(max_num_models_per_replica=settings.max_policies)(_Replica.load),
        "infer_batch": serve.batch(
            max_batch_size=settings.max_batch, batch_wait_timeout_s=settings.batch_wait_ms / 1000
        )(_Replica.infer_batch),
    }
    more: dict[str, Any] = {}
    if any(choice.make().per_client for choice in options.policies.values()):
        more["request_router_config"] = RequestRouterConfig(request_router_class=_STICKY)
    # Ray's own default, 5, is fewer than there are robots.
    return serve.deployment(
        type(NAME, (_Replica,), methods), name=NAME, max_ongoing_requests=4 * MAX_SESSIONS, **more
    )


class _Replica:
    """A process that answers for the policies."""

    async def __init__(  # type: ignore[misc]  # Ray waits for it
        self, policies: Mapping[str, PolicyChoice], settings: Settings
    ) -> None:
        """Load the first policy, so that the replica is not ready before that.

        Args:
            policies: What may be asked for.
            settings: How.

        Raises:
            VlaRosError: It cannot be loaded.
        """
        self._policies = policies
        self._settings = settings
        self._thread = PolicyThread()
        self._loaded: WeakValueDictionary[str, LoadedPolicy] = WeakValueDictionary()
        await self.load(next(iter(policies)))

    async def load(self, name: str) -> LoadedPolicy:
        """A policy, connected. Ray keeps it until another one needs the room."""
        choice = self._policies[name]
        policy = await self._thread.run(lambda: LoadedPolicy(choice.make(), self._thread))
        self._loaded[name] = policy
        return policy

    async def infer(self, question: Question) -> Answer:
        """A chunk, or why there is none."""
        answer: Answer = await self.infer_batch(question)  # type: ignore[arg-type, assignment]
        return answer

    async def infer_batch(self, questions: list[Question]) -> list[Answer]:
        """The answers to questions of one policy; Ray collects them, and splits them by policy."""
        try:
            policy = await self.load(serve.get_multiplexed_model_id())
        except VlaRosError as error:
            return [error] * len(questions)
        return await self._thread.run(lambda: policy.infer(questions))

    async def reset(self, client: Client) -> VlaRosError | None:
        """Make a client's backend forget the episode; why it cannot."""
        try:
            policy = await self.load(serve.get_multiplexed_model_id())
            await self._thread.run(lambda: policy.reset(client))
        except VlaRosError as error:
            return error
        return None

    async def forget(self, client: Client) -> None:
        """Close the backend of a client that is gone."""
        policy = self._loaded.get(serve.get_multiplexed_model_id())
        if policy is not None:
            await self._thread.run(lambda: policy.forget(client))

    async def describe(self) -> str:
        """What a policy said of itself, in words; nothing is loaded for that."""
        policy = self._loaded.get(serve.get_multiplexed_model_id())
        return _NOT_LOADED if policy is None else policy.description

    def check_health(self) -> None:
        """Ray asks from time to time, and starts a replica anew that raises.

        Raises:
            RuntimeError: The policy is stuck in a call.
        """
        if self._thread.busy_s > self._settings.stuck_after_s:
            raise RuntimeError(f"the policy is in one call since {self._thread.busy_s:.0f} s")
