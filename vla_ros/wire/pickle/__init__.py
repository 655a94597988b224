# SPDX-License-Identifier: Apache-2.0
"""Pickles as plain data, for the wires that send them: nothing is ever unpickled here.

=======  ==========================================================
writer   pickles that name classes which are not here
reader   pickles read without running what they name
machine  what the reader works on
arrays   numpy's arrays and numbers in a pickle
=======  ==========================================================

Whoever unpickles what came over a network lets its sender run code there (CVE-2026-25874). So
pickles are read by an interpreter of their own, and what they name is looked up in a short list of
stand-ins.

Everything is pure and any thread may call it. What does not follow the form raises
``WireFormatError``, which names the place, what was found and what is allowed.
"""
