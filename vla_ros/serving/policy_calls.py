# SPDX-License-Identifier: Apache-2.0
"""Calls of backends that fail with ``VlaRosError`` alone, whatever the backend raises.

For the thread that owns the backends.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

from vla_ros.backends.base import BatchItem, PolicyBackend
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.errors import RemotePolicyError, VlaRosError

_LOG = logging.getLogger(__name__)
T = TypeVar("T")
Answer = ActionChunk | VlaRosError


def call_policy(call: Callable[[], T]) -> T:
    """What a call of a backend gives.

    Raises:
        VlaRosError: It failed, in whatever way.
    """
    try:
        return call()
    except VlaRosError:
        raise
    except Exception as error:
        # A fault of the backend's, not of the request's: the server goes on.
        _LOG.error("the policy failed", exc_info=error)
        text = f"the policy failed: {type(error).__name__}: {error}"
        raise RemotePolicyError(text) from error


def infer_all(shared: PolicyBackend, items: Sequence[BatchItem]) -> list[Answer]:
    """What the policy gives for several observations, in their order: together if that works.

    Args:
        shared: The backend that all clients share, or of which theirs were made.
        items: What is inferred; none gives none.
    """
    if len(items) > 1:
        try:
            return list(call_policy(lambda: shared.infer_batch(items)))
        except VlaRosError as error:
            _LOG.warning("a batch of %d failed, so each is tried alone: %s", len(items), error)
    return [_infer(item) for item in items]


def _infer(item: BatchItem) -> Answer:
    try:
        return call_policy(lambda: item.backend.infer(item.observation, item.prefix))
    except VlaRosError as error:
        return error
