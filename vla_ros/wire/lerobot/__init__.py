# SPDX-License-Identifier: Apache-2.0
"""The gRPC wire of LeRobot's asynchronous inference, both sides, without gRPC, torch or LeRobot.

==============  ========================================================================
methods         the four methods of the service
protobuf        the messages: one field of bytes, or the parts of an observation
policy_setup    what a client asks the server to load
features        which values and images a client says that it will send
observation     what a client shows
actions         what the server answers
timed_data      the moment that both have
torch_pickle    torch's tensors in the answer
torch_storage   the numbers of a tensor
==============  ========================================================================

LeRobot pickles all that it sends, and unpickles all that it is sent. Here pickles are data, which
``vla_ros.wire.pickle`` reads and writes.

Everything is pure and any thread may call it. What does not follow the wire raises
``WireFormatError``, which names the place, what was found and what is allowed.
"""
