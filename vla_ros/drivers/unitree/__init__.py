# SPDX-License-Identifier: Apache-2.0
"""The messages of Unitree's humanoids, as their DDS carries them. No topic, no thread, no ROS.

=========  =============================================================================
idl_hg     whole-body commands and states (``unitree_hg``), for cyclonedds
idl_go     lists of motors, which the Inspire hands use (``unitree_go``), for cyclonedds
idl_std    a line of text (``std_msgs``), for cyclonedds
crc        the checksum that seals a whole-body message
inspire    the hands' 0..1 and their joints' radians
=========  =============================================================================

The three ``idl_`` modules need the package cyclonedds; the others do not. Their classes have the
wire's type names, fields, widths and lengths, and start out all zero.
"""
