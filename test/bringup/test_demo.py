# SPDX-License-Identifier: Apache-2.0
"""What the demo says to bad input; that it runs is tested in test/system."""

from __future__ import annotations

from pathlib import Path

import pytest

from vla_ros.bringup.demo import main


def test_a_missing_recording_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gone = str(tmp_path / "gone.npz")
    assert main(["--output", str(tmp_path / "out"), "--recording", gone]) == 1
    assert f"recording {gone} does not exist" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--episodes", "0"], "must be at least 1, found 0"),
        (["--episodes", "many"], "invalid"),
        (["--latency-ms", "-1"], "must be in [0, 60000] ms, found -1"),
        (["--seed", "red"], "invalid int value: 'red'"),
    ],
)
def test_a_bad_option_is_refused(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_a_folder_that_is_not_a_demos_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    precious = tmp_path / "thesis.txt"
    precious.write_text("do not delete")
    assert main(["--output", str(tmp_path), "--episodes", "1"]) == 1
    assert "is not empty and not a demo's" in capsys.readouterr().err
    assert precious.exists()
