# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from test.support.gr00t_samples import HORIZON, NAMES, STAMP_NS, observation, policy, robot
from vla_ros.backends.hold import Backend, HoldConfig
from vla_ros.core.errors import ConfigError


def make() -> Backend:
    clock = iter((5, 6))
    return Backend(HoldConfig(), robot=robot(), policy=policy(), now_ns=lambda: next(clock))


def test_the_present_pose_is_returned_for_the_whole_horizon():
    backend = make()
    backend.connect()
    backend.reset()

    chunk = backend.infer(observation())
    backend.close()

    assert chunk.actions.shape == (HORIZON, 6)
    assert (chunk.actions == observation().state).all()
    assert chunk.stamp_ns == STAMP_NS
    assert (chunk.timing.sent_ns, chunk.timing.received_ns) == (5, 6)


def test_the_pose_is_in_the_order_of_the_commands():
    turned = observation(state_names=NAMES[::-1], state=np.arange(6.0))

    np.testing.assert_array_equal(make().infer(turned).actions[0], np.arange(6.0)[::-1])


def test_an_interface_that_is_not_measured_is_named():
    blind = observation(state_names=NAMES[:5], state=np.zeros(5))

    with pytest.raises(ConfigError, match="state claw/position is not in the observation"):
        make().infer(blind)
