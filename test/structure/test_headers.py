# SPDX-License-Identifier: Apache-2.0
"""Every Python file names its licence in its first line."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
HEADER = "# SPDX-License-Identifier: Apache-2.0"
FOLDERS = ("benchmarks", "launch", "scripts", "test", "vla_ros")


def without_header(root: Path) -> list[str]:
    """Names each Python file, the empty ones aside, whose first line is not the header."""
    files = [
        *root.glob("*.py"),
        *(path for name in FOLDERS for path in (root / name).rglob("*.py")),
    ]
    return [
        str(path.relative_to(root))
        for path in sorted(files)
        if path.read_text(encoding="utf-8").partition("\n")[0] not in (HEADER, "")
    ]


def test_every_file_has_the_header():
    assert without_header(ROOT) == []


def test_a_file_without_the_header_is_found(tmp_path: Path):
    (tmp_path / "launch").mkdir()
    (tmp_path / "launch/bare.py").write_text("import this\n")
    (tmp_path / "launch/__init__.py").touch()
    (tmp_path / "setup.py").write_text(f"{HEADER}\n")

    assert without_header(tmp_path) == ["launch/bare.py"]
