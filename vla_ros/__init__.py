# SPDX-License-Identifier: Apache-2.0
"""vla_ros: a ROS 2 robot runs a vision-language-action policy.

Letters used for array shapes in every docstring of this package:

==  =====================================================================
B   batch: observations that are inferred together
T   time: frames or states of one observation's history
H   horizon: actions in a chunk (an image's height, where it stands in HWC)
D   dimension: entries of a state or action vector
N   samples, frames or points, where none of the others fits
==  =====================================================================

Images are ``(H, W, 3) uint8`` RGB. Angles are radians, lengths metres, durations seconds; a bare
number carries its unit in its name (``_s``, ``_ns``, ``_hz``, ``_rad``, ``_m``, ``_px``).
"""
