# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from vla_ros.wire.gr00t.wires import Gr00tWire


@pytest.mark.parametrize(
    ("wire", "npy"), [(Gr00tWire.A5, True), (Gr00tWire.A6, True), (Gr00tWire.B, False)]
)
def test_the_a_wires_send_npy_files(wire: Gr00tWire, npy: bool):
    assert wire.has_npy_arrays is npy
