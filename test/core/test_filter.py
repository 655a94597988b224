# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from test.core.helpers import robot
from test.core.refusals import refused
from vla_ros.core.errors import ConfigError
from vla_ros.core.filter import FilterSettings, no_filter


def test_no_filter_refuses_every_name():
    with refused(ConfigError, "filters: 'low_pass' cannot be had for two_joint"):
        no_filter("low_pass", robot(), FilterSettings(low_pass_cutoff_hz=5.0, jerk_time_s=0.1))
