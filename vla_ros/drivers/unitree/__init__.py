# SPDX-License-Identifier: Apache-2.0
"""Unitree's humanoids and their Inspire hands, through their own DDS. No ROS, no thread.

============  ==========================================================================
idl_hg        whole-body commands and states (``unitree_hg``), for cyclonedds
idl_go        lists of motors, which the Inspire hands use (``unitree_go``), for cyclonedds
idl_std       a line of text (``std_msgs``), for cyclonedds
packed, flat  messages to bytes and back in one step; all numbers of a message
crc           the checksum that seals a whole-body message
session       a participant of a domain, with readers and writers
body_spec     which joint stands where in the messages: ``config/unitree/``
body_state    what messages say of joints and of the inertial unit
body_command  soft goals, taking over, giving back, and the messages that say so
inspire       the hands' 0..1 and their joints' radians
rewards       how a simulator's task stands
link          all topics of a robot or its simulator
control       body and hands, led together through a link
============  ==========================================================================

``crc``, ``flat``, ``inspire`` and ``rewards`` do not need the package cyclonedds; the others do.
The classes of ``idl_`` have the wire's type names, fields, widths and lengths, and start all zero.
"""
