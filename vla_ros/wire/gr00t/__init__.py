# SPDX-License-Identifier: Apache-2.0
"""The msgpack wires of NVIDIA Isaac GR00T's policy server, both sides of them.

============  ==========================================================================
wires         the three wires and the ways in which an observation is arranged
arrays        one numpy array as a msgpack map, and back
codec         a tree of plain values and arrays as bytes, and back, within limits
modality      what a policy says that it takes and gives (``get_modality_config``)
observation   an observation in the policy's keys as a tree, and back
action        a policy's answer as a tree, and back
options       what vla_ros sends beside the observation
message       requests and replies: endpoint, data, token; value or error
capabilities  what our own servers can do beyond that
jpeg          images as JPEG files, for our own servers
============  ==========================================================================

Everything is pure and any thread may call it. What does not follow the wire raises
``WireFormatError``, which names the place, what was found and what is allowed.
"""
