# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from test.support.golden_server import golden
from test.support.gr00t_samples import policy
from vla_ros.core.errors import WireFormatError
from vla_ros.wire.gr00t.capabilities import (
    Capabilities,
    decode_capabilities,
    encode_capabilities,
    is_marked,
    marked,
)
from vla_ros.wire.gr00t.codec import pack, unpack
from vla_ros.wire.gr00t.modality import decode_modality, encode_modality, modality_of
from vla_ros.wire.gr00t.wires import Gr00tWire

wires = pytest.mark.parametrize("wire", list(Gr00tWire))


def sent(tree: Any) -> Any:
    return unpack(pack(tree, Gr00tWire.B)).value


@given(st.booleans(), st.booleans(), st.text(max_size=20))
def test_round_trip(jpeg: bool, multipart: bool, ipc: str):
    capabilities = Capabilities(jpeg, multipart, ipc)

    assert decode_capabilities(sent(encode_capabilities(capabilities))) == capabilities


def test_what_a_server_does_not_say_it_cannot():
    assert decode_capabilities({}) == Capabilities()
    assert decode_capabilities({"image_encodings": ["raw", "av1"], "new": 1}) == Capabilities()


@pytest.mark.parametrize(
    ("tree", "text"),
    [
        ([], "capabilities must be a map; found list"),
        (None, "capabilities must be a map; found NoneType"),
        ({"image_encodings": "jpeg"}, "image_encodings must be a list; found str 'jpeg'"),
        ({"multipart": 1}, "multipart must be true or false; found int 1"),
        ({"ipc": True}, "ipc must be a string or nil; found bool True"),
    ],
)
def test_what_is_none_is_refused(tree: Any, text: str):
    with pytest.raises(WireFormatError, match=text):
        decode_capabilities(tree)


@pytest.mark.parametrize("wire", [None, *Gr00tWire])
def test_a_mark_changes_nothing_else(wire: Gr00tWire | None):
    plain = encode_modality(modality_of(policy()), wire)

    assert is_marked(sent(marked(plain)))
    assert not is_marked(sent(plain))
    assert decode_modality(sent(marked(plain))) == decode_modality(sent(plain))


@wires
def test_nvidias_servers_are_not_marked(wire: Gr00tWire):
    assert not is_marked(unpack(golden(wire, "get_modality_config_reply")).value)


@pytest.mark.parametrize("tree", [None, [], {}, {"video": 1}, {"video": {"vla_ros": 1}}])
def test_anything_else_is_not_marked(tree: Any):
    assert not is_marked(tree)
