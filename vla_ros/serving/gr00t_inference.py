# SPDX-License-Identifier: Apache-2.0
"""What GR00T's clients ask of the policy, over ZeroMQ as over HTTP. Pure; any thread may call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.policy_io import actions_by_key, observation_from
from vla_ros.core.policy_spec import PolicySpec
from vla_ros.serving.asked import Inference
from vla_ros.wire.gr00t.action import encode_action
from vla_ros.wire.gr00t.jpeg import Each
from vla_ros.wire.gr00t.observation import decode_observation
from vla_ros.wire.gr00t.options import Options
from vla_ros.wire.gr00t.wires import Gr00tWire
from vla_ros.wire.limits import DEFAULT_MAX_BYTES

R = TypeVar("R")


def gr00t_inference(
    policy: PolicySpec,
    tree: Mapping[str, Any],
    options: Options,
    *,
    wire: Gr00tWire,
    now_ns: Callable[[], int],
    encode: Callable[[dict[str, Any] | list[Any]], R],
    max_bytes: int = DEFAULT_MAX_BYTES,
    each: Each = map,
) -> Inference[R]:
    """The inference that a client asks for, answered as its observation is arranged.

    Args:
        policy: What is served.
        tree: The observation.
        options: What the client said beside it.
        wire: Of the observation, and so of the answer.
        now_ns: The clock that stamps an observation whose client does not.
        encode: Makes the reply of the tree of the actions.
        max_bytes: How much memory images may take that came as JPEG files.
        each: Calls for each of these.

    Raises:
        VlaRosError: The observation is none of the policy's.
    """
    begun_ns = now_ns()
    given, arrangement = decode_observation(tree, policy, wire, max_bytes=max_bytes, each=each)
    observation = observation_from(
        policy,
        given,
        stamp_ns=begun_ns if options.stamp_ns is None else options.stamp_ns,
        request=options.request,
    )

    def answer(chunk: ActionChunk) -> R:
        # NVIDIA's clients say no stamp, and are told what NVIDIA's servers tell.
        server_s = None if options.stamp_ns is None else (now_ns() - begun_ns) * 1e-9
        return encode(encode_action(actions_by_key(policy, chunk), arrangement, server_s=server_s))

    return Inference(observation, answer, options.prefix, options.runs_out_in_s)
