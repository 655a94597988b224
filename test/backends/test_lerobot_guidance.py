# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from test.support.lerobot_arm import HORIZON, NAMES, actions_of, policy
from vla_ros.backends._lerobot_guidance import guidance_from
from vla_ros.core.errors import ActionError
from vla_ros.core.observation import Prefix


def prefix(count: int = 10, **changed: Any) -> Prefix:
    fields: dict[str, Any] = {
        "names": NAMES,
        "actions": np.linspace(-1.0, 1.0, count * len(NAMES)).reshape(count, len(NAMES)),
        "inference_delay_s": 0.1,
        "execution_horizon": 8,
    }
    return Prefix(**{**fields, **changed})


def test_the_prefix_is_told_in_the_policys_units_and_order():
    given = prefix()
    shuffled = prefix(names=NAMES[::-1], actions=given.actions[:, ::-1])

    guidance = guidance_from(policy(), given)

    assert guidance.actions.dtype == np.float32
    np.testing.assert_allclose(actions_of(guidance.actions), given.actions, atol=1e-6)
    np.testing.assert_array_equal(guidance_from(policy(), shuffled).actions, guidance.actions)


@pytest.mark.parametrize(
    ("count", "delay_s", "executed", "delay", "end"),
    [
        (10, 0.1, 8, 3, 8),  # H - s
        (10, 0.101, 8, 4, 8),  # a step that is begun counts
        (10, 0.0, 8, 0, 8),
        (5, 0.1, 8, 3, 5),  # no more is left
        (2, 0.1, 8, 2, 2),  # less is left than will be executed
        (10, 0.1, 0, 3, 10),  # it is not known how many will be executed
        (10, 0.1, 15, 3, 3),  # all that is not certain is free
        (40, 0.1, 0, 3, HORIZON),  # no longer than a chunk
    ],
)
def test_how_far_a_chunk_is_held_to_its_prefix(
    count: int, delay_s: float, executed: int, delay: int, end: int
):
    guidance = guidance_from(
        policy(), prefix(count, inference_delay_s=delay_s, execution_horizon=executed)
    )

    assert (guidance.delay, guidance.end) == (delay, end)
    assert guidance.actions.shape == (min(count, HORIZON), len(NAMES))


def test_a_prefix_without_an_interface_is_refused():
    with pytest.raises(ActionError, match="claw/position"):
        guidance_from(policy(), prefix(names=(*NAMES[:5], "tail/position")))
