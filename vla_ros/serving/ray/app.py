# SPDX-License-Identifier: Apache-2.0
"""The policy server as a Ray Serve application, for more than one machine.

``serve run config/ray/so101_scripted.yaml`` starts it; see ``doc/serving.md``. The deployment
``Front`` stands behind Ray's HTTP proxy and speaks with robots; ``Policy`` infers.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from typing import Any

from ray import serve
from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import RayServeException

from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.errors import BackendUnavailable, RemotePolicyError, VlaRosError
from vla_ros.core.past_frames import NOW
from vla_ros.serving.asked import Client, Inference
from vla_ros.serving.gr00t_http_service import Gr00tHttpService
from vla_ros.serving.openpi_service import OpenpiService
from vla_ros.serving.ray.asgi_front import AsgiFront, Served
from vla_ros.serving.ray.options import PolicyChoice, RayOptions, read_options
from vla_ros.serving.ray.policy import NAME, policy_deployment
from vla_ros.serving.ray.replica import Question
from vla_ros.serving.sessions import MAX_SESSIONS
from vla_ros.serving.status_service import Health, Status

# How long a replica may take to say how it is.
_LOOK_S = 4.0
_MEBIBYTE = 1024 * 1024


def build(args: dict[str, Any]) -> serve.Application:
    """The application, from the ``args`` of a Serve config file; see ``RayOptions``.

    Raises:
        ConfigError: They are wrong, or a policy cannot be made.
    """
    options = read_options(args)
    policy = policy_deployment(options).bind(options.policies, options.settings)

    def make_front() -> AsgiFront:
        # Called in each replica of the front.
        name = serve.get_replica_context().app_name
        return front(options, serve.get_deployment_handle(NAME, app_name=name))

    made = serve.deployment(
        serve.ingress(make_front)(), name="Front", max_ongoing_requests=4 * MAX_SESSIONS
    )
    application: serve.Application = made.bind(policy)
    return application


class Replicas:
    """A policy that some replica has, as the front asks it. For one event loop."""

    def __init__(self, handle: Any, name: str) -> None:
        """Keep the facts.

        Args:
            handle: Of the deployment ``Policy``.
            name: Of the policy.
        """
        self._handle = handle
        self._name = name
        self._health = Health("loading")

    def health(self) -> Health:
        """How it was when it was looked at. Any thread."""
        return self._health

    async def look(self) -> None:
        """Find out how it is."""
        try:
            detail = await asyncio.wait_for(self._call("describe", ""), _LOOK_S)
        except asyncio.TimeoutError:
            self._health = Health("failed", f"no replica answered within {_LOOK_S:g} s")
        except VlaRosError as error:
            self._health = Health("failed", str(error))
        else:
            self._health = Health("ready", detail)

    async def infer(self, asked: Inference[Any], client: Client) -> ActionChunk:
        """The chunk for an observation of a client.

        Raises:
            VlaRosError: There is none.
        """
        question = Question(client, asked.observation, asked.prefix)
        chunk: ActionChunk = await self._call("infer", str(client.name), question)
        return chunk

    async def reset(self, client: Client) -> None:
        """Make the policy forget a client's episode.

        Raises:
            VlaRosError: It cannot.
        """
        await self._call("reset", str(client.name), client)

    async def forget(self, client: Client) -> None:
        """Note that a client is gone.

        Raises:
            VlaRosError: Its replica could not be told.
        """
        await self._call("forget", str(client.name), client)

    async def _call(self, method: str, session: str, *given: Any) -> Any:
        handle = self._handle.options(
            method_name=method, multiplexed_model_id=self._name, session_id=session
        )
        try:
            answer = await handle.remote(*given)
        except RayTaskError as error:
            raise RemotePolicyError(f"the replica failed: {error.cause}") from error
        except (RayError, RayServeException) as error:
            # It died, or too much waits. Whoever asks again is answered by another.
            raise BackendUnavailable(f"no replica answered: {error}") from error
        if isinstance(answer, VlaRosError):
            raise answer
        return answer


class RaysOwn:
    """What is told of metrics here."""

    content_type = "text/plain; version=0.0.4"

    def render(self, state: object) -> bytes:
        """Where they are."""
        del state
        return b"# Ray Serve counts, and each node of the cluster exports it.\n"


def front(options: RayOptions, handle: Any) -> AsgiFront:
    """What stands behind Ray's HTTP proxy.

    Args:
        options: What is served.
        handle: Of the deployment ``Policy``.

    Raises:
        ConfigError: A description is wrong, or is not on this machine.
    """
    token = options.settings.api_token or os.environ.get("VLA_ROS_API_TOKEN") or None
    max_bytes = int(options.settings.max_message_mib * _MEBIBYTE)
    served: Mapping[str, Served] = {
        name: _served(choice, Replicas(handle, name), token, max_bytes)
        for name, choice in options.policies.items()
    }
    return AsgiFront(served, max_bytes=max_bytes)


def _served(choice: PolicyChoice, replicas: Replicas, token: str | None, max_bytes: int) -> Served:
    policy = choice.spec()
    status = Status(replicas.health, RaysOwn())
    http = Gr00tHttpService(policy, status, api_token=token, max_bytes=max_bytes)
    if policy.video_deltas != NOW:
        return Served(replicas, http, None)
    return Served(replicas, http, OpenpiService(policy, api_token=token, max_bytes=max_bytes))
