# SPDX-License-Identifier: Apache-2.0
"""The ROS nodes. Each is thin: parameters, one core object, callbacks of convert, call, publish."""
