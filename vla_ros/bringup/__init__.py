# SPDX-License-Identifier: Apache-2.0
"""Bring a whole deployment up: which processes, with which parameters, and how to run them.

Plain Python without ROS. The launch files and the demo are two thin front ends of one description.
"""
