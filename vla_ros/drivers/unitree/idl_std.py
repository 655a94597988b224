# SPDX-License-Identifier: Apache-2.0
"""The type ``String_`` of ``std_msgs``, in which unitree_sim_isaaclab is reset and tells its state.

The text is a number of what to reset, or JSON. Plain data: any thread.
"""

from __future__ import annotations

from dataclasses import dataclass

from cyclonedds.idl import IdlStruct
from cyclonedds.idl.annotations import autoid, final

# cyclonedds looks a postponed annotation up by its name in this module.
Text = str


@dataclass
@final
@autoid("sequential")
class String(IdlStruct, typename="std_msgs.msg.dds_.String_"):
    """A line of text.

    Attributes:
        data: The text.
    """

    data: Text = ""
