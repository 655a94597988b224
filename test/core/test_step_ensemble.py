# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_ros.core.errors import ActionError
from vla_ros.core.step_ensemble import RATE, StepEnsemble


@given(horizon=st.integers(1, 6), width=st.integers(1, 3), steps=st.integers(1, 20))
def test_actions_are_those_of_acts_own_formula(horizon: int, width: int, steps: int):
    chunks = np.random.default_rng(7).normal(size=(steps, horizon, width))
    ensemble = StepEnsemble(horizon, width)
    for step in range(steps):
        # Oldest first, as far as a chunk reaches.
        said = [
            chunks[asked, step - asked] for asked in range(max(0, step - horizon + 1), step + 1)
        ]
        weights = np.exp(-RATE * np.arange(len(said)))
        expected = (weights[:, None] * said).sum(axis=0) / weights.sum()
        np.testing.assert_allclose(ensemble.add(chunks[step]), expected)


def test_the_older_chunk_counts_more():
    ensemble = StepEnsemble(2, 1)
    assert ensemble.add(np.array([[1.0], [0.0]])) == [1.0]
    (joined,) = ensemble.add(np.array([[1.0], [9.0]]))
    assert joined == pytest.approx(np.exp(-0.01) / (1 + np.exp(-0.01)))
    assert 0.49 < joined < 0.5


def test_a_chunk_of_another_shape_is_refused():
    with pytest.raises(ActionError, match=r"must be \(2, 1\); found \(3, 1\)"):
        StepEnsemble(2, 1).add(np.zeros((3, 1)))
