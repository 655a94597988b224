# SPDX-License-Identifier: Apache-2.0
"""Several observations at once, for models in this process. One thread."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from vla_ros.core.errors import BackendError, RemotePolicyError
from vla_ros.core.observation import Observation

_LOG = logging.getLogger(__name__)
Item = TypeVar("Item")
Answer = TypeVar("Answer")
# Of the largest value: what half precision makes of other sums in another order.
_TOLERANCE = 0.05


def in_groups(
    items: Sequence[Item],
    form: Callable[[Item], Hashable],
    infer: Callable[[Sequence[Item]], Sequence[Answer]],
) -> list[Answer]:
    """What a model gives for items of which only those of one form fit into one batch.

    Args:
        items: What is inferred.
        form: What the items of a batch have in common.
        infer: An answer for each item of a batch.

    Returns:
        An answer for each item, in their order.
    """
    groups: dict[Hashable, list[int]] = {}
    for index, item in enumerate(items):
        groups.setdefault(form(item), []).append(index)
    answers: dict[int, Answer] = {}
    for indices in groups.values():
        given = infer([items[index] for index in indices])
        answers.update(zip(indices, given, strict=True))
    return [answers[index] for index in range(len(items))]


def require_batch(items: Sequence[object], most: int) -> None:
    """Refuse more than a model infers at once.

    Raises:
        RemotePolicyError: There are more.
    """
    if len(items) > most:
        raise RemotePolicyError(
            f"a batch of {len(items)} observations; the policy infers at most {most} at once"
        )


def found_max_batch(
    wanted: int,
    infer: Callable[[Sequence[Observation]], Sequence[NDArray[Any]]],
    seen: tuple[Observation, Observation],
) -> int:
    """How many observations a model infers at once: as many as wanted, or one.

    Nothing tells it but trying: some models take one observation alone, others take several and
    mix them up. A model that draws lots is only tried, because its answers are never the same.

    Args:
        wanted: How many are wanted.
        infer: The model's actions for each of several observations.
        seen: Two that are as different as can be.
    """
    if wanted == 1:
        return 1
    try:
        alone = [infer([one])[0] for one in seen]
        again = infer([seen[0]])[0]
        together = infer([seen[index % 2] for index in range(wanted)])
    except BackendError as error:
        _LOG.info("the model infers one observation at a time: %s", error)
        return 1
    tolerance = _TOLERANCE * max(float(np.abs(values).max()) for values in alone)
    draws_lots = not np.allclose(again, alone[0], rtol=0.0, atol=tolerance)
    if not draws_lots and not all(
        np.allclose(values, alone[index % 2], rtol=0.0, atol=tolerance)
        for index, values in enumerate(together)
    ):
        _LOG.warning(
            "the model mixes up observations that it infers together, so it gets one at a time"
        )
        return 1
    return wanted
