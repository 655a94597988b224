# SPDX-License-Identifier: Apache-2.0
"""The ZeroMQ wire of a server for ACT policies, both sides of it: one pickle each way.

=======  =======================================================
request  what a client sends: an observation, or a reset
reply    what a server answers: one action, nothing, or an error
=======  =======================================================

The server joins the chunks of its model itself (temporal ensembling), so it answers every
observation with the one action for now, and has to be told when an episode begins. Both sides of
the original unpickle what they are sent; here pickles are data, which ``vla_ros.wire.pickle`` reads
and writes.

Everything is pure and any thread may call it. What does not follow the wire raises
``WireFormatError``, which names the place, what was found and what is allowed.
"""
