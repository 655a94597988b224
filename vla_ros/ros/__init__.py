# SPDX-License-Identifier: Apache-2.0
"""What the nodes share: parameters, lifecycle, message conversion, diagnostics.

rclpy and ROS messages are imported here and in ``vla_ros.nodes``, and nowhere else.
"""
