# SPDX-License-Identifier: Apache-2.0
"""Simulated robots in MuJoCo, with cameras and tasks, and the whole loop without ROS.

Nothing here knows a robot: joints, cameras and objects come from the description files.
"""

from __future__ import annotations
