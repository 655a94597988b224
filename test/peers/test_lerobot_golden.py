# SPDX-License-Identifier: Apache-2.0
"""LeRobot still says what the golden pickles hold, and reads ours; run by ``make test-peers``."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from test.support.lerobot_samples import GOLDEN
from test.support.programs import PATIENCE_S, program
from vla_ros.wire.lerobot.actions import decode_actions

pytestmark = pytest.mark.peer
WRITER = str(Path(__file__).parent / "lerobot_golden.py")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What LeRobot writes today, beside what we wrote, which it has read."""
    folder = tmp_path_factory.mktemp("golden")
    for ours in GOLDEN.glob("ours_*.pickle"):
        shutil.copy(ours, folder)
    with program([WRITER, str(folder)], folder=folder) as writer:
        assert writer.process.wait(PATIENCE_S) == 0, writer.written
    return folder


@pytest.mark.parametrize("name", ["policy_setup", "observation", "odd_observation"])
@pytest.mark.parametrize("protocol", [4, 5])
def test_what_a_client_says_is_the_same_to_the_byte(written: Path, name: str, protocol: int):
    file = f"{name}_{protocol}.pickle"

    assert (written / file).read_bytes() == (GOLDEN / file).read_bytes()


@pytest.mark.parametrize(
    "golden", sorted(GOLDEN.glob("actions_*.pickle")), ids=lambda path: path.stem
)
def test_what_a_server_says_is_the_same_but_for_addresses(written: Path, golden: Path):
    said = (written / golden.name).read_bytes()

    assert len(said) == pytest.approx(len(golden.read_bytes()), abs=50)
    for now, then in zip(
        dataclasses.astuple(decode_actions(said)),
        dataclasses.astuple(decode_actions(golden.read_bytes())),
        strict=True,
    ):
        np.testing.assert_array_equal(now, then)
