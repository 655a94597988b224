# SPDX-License-Identifier: Apache-2.0
"""Settings of all tests. Nothing here needs ROS."""

from __future__ import annotations

from hypothesis import settings

# The same examples every time, so that a run can be repeated and the coverage is always the same;
# no deadline, because a busy machine is not a fault of the code.
settings.register_profile("vla_ros", derandomize=True, deadline=None, max_examples=50)
settings.load_profile("vla_ros")

# A document's program as it is printed: it runs as soon as it is imported.
collect_ignore = ["support/act_client.py"]
