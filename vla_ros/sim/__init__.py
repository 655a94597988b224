# SPDX-License-Identifier: Apache-2.0
"""Simulated robots in MuJoCo, their cameras and tasks, the loop without ROS, and a stand-in.

Nothing here knows a robot: joints, cameras and objects come from the description files.
"""

from __future__ import annotations
