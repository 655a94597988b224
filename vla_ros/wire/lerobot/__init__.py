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
numpy_pickle    numpy's arrays in the observation
pickle_writer   pickles that name classes which are not here
pickle_reader   pickles read without running what they name
pickle_machine  what the reader works on
==============  ========================================================================

LeRobot pickles all that it sends, and unpickles all that it is sent, which lets anybody who
reaches either side run code there (CVE-2026-25874). Here pickles are data: they are read by an
interpreter of their own, and what they name is looked up in a short list of stand-ins.

Everything is pure and any thread may call it. What does not follow the wire raises
``WireFormatError``, which names the place, what was found and what is allowed.
"""
