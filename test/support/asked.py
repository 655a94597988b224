# SPDX-License-Identifier: Apache-2.0
"""A service's replies, with the policy asked at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vla_ros.backends.base import PolicyBackend
from vla_ros.core.errors import VlaRosError
from vla_ros.serving.asked import Client, Inference, Reset

CLIENT = Client("any", 1)


def answer(
    service: Any,
    backend: PolicyBackend,
    request: Any,
    client: Client = CLIENT,
    *,
    rest: Sequence[bytes] = (),
) -> Any:
    """What a service replies to a request in the end, as a front has it done."""
    more = [[memoryview(part) for part in rest]] if rest else []
    begun = service.begin(request, client, *more)
    try:
        if isinstance(begun, Inference):
            return begun.answer(backend.infer(begun.observation, begun.prefix))
        if isinstance(begun, Reset):
            backend.reset()
            return begun.done()
    except VlaRosError as error:
        return service.refuse(error)
    return begun
