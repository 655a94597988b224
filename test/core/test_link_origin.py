# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from test.core.refusals import refused
from vla_ros.core.errors import ConfigError
from vla_ros.core.kinematics import Kinematics
from vla_ros.core.link_origin import LinkOrigin

# A lift, two turns about different axes, a fixed tool and a finger whose end mimics its base.
ARM = Kinematics.from_text(
    """
<robot name="arm">
  <joint name="mount" type="fixed">
    <parent link="base"/><child link="plate"/><origin xyz="0.2 0 0" rpy="0.1 0.2 0.3"/>
  </joint>
  <joint name="lift" type="prismatic">
    <parent link="plate"/><child link="column"/>
    <origin xyz="0 0 0.1"/><axis xyz="0 0.6 0.8"/><limit lower="0" upper="0.5"/>
  </joint>
  <joint name="shoulder" type="revolute">
    <parent link="column"/><child link="upper"/>
    <origin xyz="0.1 0 0" rpy="0.4 0 0"/><axis xyz="0 0 1"/><limit lower="-2" upper="2"/>
  </joint>
  <joint name="elbow" type="revolute">
    <parent link="upper"/><child link="lower"/>
    <origin xyz="0.4 0 0"/><axis xyz="0 1 0"/><limit lower="-2" upper="2"/>
  </joint>
  <joint name="tool" type="fixed">
    <parent link="lower"/><child link="tip"/><origin xyz="0.3 0 0.05" rpy="0 0 1"/>
  </joint>
  <joint name="finger" type="revolute">
    <parent link="tip"/><child link="finger_link"/>
    <origin xyz="0 0.02 0"/><axis xyz="0 1 0"/><limit lower="0" upper="1"/>
  </joint>
  <joint name="finger_end" type="revolute">
    <parent link="finger_link"/><child link="nail"/>
    <origin xyz="0.05 0 0"/><axis xyz="0 1 0"/><limit lower="0" upper="2"/>
    <mimic joint="finger" multiplier="1.5" offset="0.1"/>
  </joint>
  <joint name="nail_tip" type="fixed">
    <parent link="nail"/><child link="point"/><origin xyz="0.04 0 0"/>
  </joint>
</robot>
""",
    source="arm.urdf",
)
# Not in the chain's order, and with one that is not of the chain.
JOINTS = ("elbow", "wheel", "finger", "lift", "shoulder")

vectors = st.lists(st.floats(-2.0, 2.0), min_size=5, max_size=5).map(np.array)


@given(st.sampled_from(ARM.links), vectors)
def test_it_is_where_the_kinematics_say(link, positions):
    found = LinkOrigin(ARM, link, JOINTS).position_m(positions)

    pose = ARM.pose(link, dict(zip(JOINTS, positions.tolist(), strict=True)))
    assert found == pytest.approx(pose[:3, 3], abs=1e-12)


@given(st.sampled_from(ARM.links), vectors, vectors)
def test_it_moves_as_the_jacobian_says(link, positions, velocities):
    found = LinkOrigin(ARM, link, JOINTS).velocity_m_s(positions, velocities)

    named = dict(zip(JOINTS, positions.tolist(), strict=True))
    _, jacobian = ARM.jacobian(link, named, JOINTS)
    assert found == pytest.approx(jacobian[:3] @ velocities, abs=1e-12)


def test_a_link_that_does_not_exist_is_named():
    with refused(ConfigError, "arm.urdf: link 'hand' does not exist", "nail, point"):
        LinkOrigin(ARM, "hand", JOINTS)


def test_a_joint_that_is_not_given_is_named():
    with refused(ConfigError, "link 'tip' is moved by lift, shoulder as well", "elbow, wheel"):
        LinkOrigin(ARM, "tip", ["elbow", "wheel"])
