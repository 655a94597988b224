# SPDX-License-Identifier: Apache-2.0
"""The WebSocket wire of openpi's policy server, both sides of it, without the WebSocket.

=======  ===========================================================================
arrays   one numpy array or number as a msgpack map, and back, as openpi-client does
request  what a client sends: an observation, or a reset
reply    what a server sends: metadata, an answer, an error
=======  ===========================================================================

The server speaks first: one binary frame of metadata for each connection. Then each binary frame of
the client, an observation in the policy's own flat keys, is answered with one frame: binary, with
the actions, or text, with an error, after which the server hangs up. RoboArena's servers and
vLLM-Omni's speak the same with an endpoint beside the observation, and so know a reset.

Everything is pure and any thread may call it. What does not follow the wire raises
``WireFormatError``, which names the place, what was found and what is allowed.
"""
