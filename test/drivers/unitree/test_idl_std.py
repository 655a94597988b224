# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from test.support.unitree_facts import STD, idl_type, type_identifier
from vla_ros.drivers.unitree.idl_std import String


def test_ros_has_the_same_type():
    assert String.__idl__.idl_transformed_typename == "std_msgs::msg::dds_::String_"
    assert type_identifier(String) == type_identifier(idl_type(f"{STD}String_"))


@pytest.mark.parametrize("text", ["", "1", '{"reward": 1.0}', "Zylinder über Bord"])
def test_a_text_is_its_length_its_bytes_and_a_zero(text: str):
    written = String(text).serialize()

    data = text.encode() + b"\0"
    assert written[4:].startswith(len(data).to_bytes(4, "little") + data)
    assert String.deserialize(written) == String(text)
