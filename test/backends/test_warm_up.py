# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from test.core.helpers import POLICY, policy, robot
from test.core.refusals import changed
from vla_ros.backends._warm_up import grey_observation, unlike_observations
from vla_ros.core.policy_io import policy_input


def test_images_are_grey_and_joints_in_the_middle():
    seen = grey_observation(robot(), policy(), stamp_ns=7)

    assert (seen.stamp_ns, seen.instruction, seen.request) == (7, "", None)
    assert list(seen.images) == ["left"]
    np.testing.assert_array_equal(seen.images["left"], np.full((4, 6, 3), 128, np.uint8))
    assert seen.state_names == ("a/position", "g/position")
    np.testing.assert_array_equal(seen.state, [0.0, 0.5])


def test_a_policy_is_shown_every_moment_that_it_looks_at():
    looks_back = policy(changed(POLICY, "{camera: left}", "{camera: left, delta_indices: [-2, 0]}"))

    given = policy_input(looks_back, grey_observation(robot(), looks_back, stamp_ns=0))

    assert given.video["front"].shape == (2, 4, 6, 3)


def test_unlike_observations_differ_in_every_pixel_and_joint():
    dark, light = unlike_observations(robot(), policy(), stamp_ns=7)

    assert (dark.images["left"].max(), light.images["left"].min()) == (26, 230)
    np.testing.assert_allclose(dark.state, [-0.8, 0.1])
    np.testing.assert_allclose(light.state, [0.8, 0.9])
    assert dark.stamp_ns == light.stamp_ns == 7
