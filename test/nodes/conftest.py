# SPDX-License-Identifier: Apache-2.0
"""A ROS domain for each test that asks for one, and the robot that the nodes are tested on."""

from __future__ import annotations

from test.nodes.ring import node, ring
from test.nodes.stage import files
from test.ros.conftest import domain

__all__ = ["domain", "files", "node", "ring"]
