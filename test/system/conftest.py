# SPDX-License-Identifier: Apache-2.0
"""A ROS domain for each test that asks for one."""

from __future__ import annotations

from test.ros.conftest import domain

__all__ = ["domain"]
