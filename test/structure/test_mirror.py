# SPDX-License-Identifier: Apache-2.0
"""The test tree mirrors the source tree: x/y.py and x/_y.py are tested by test/x/test_y.py."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]


def untested_modules(root: Path) -> list[str]:
    """Names each module that lacks its own test file, with the file that is missing."""
    source = root / "vla_ros"
    missing = []
    for module in sorted(source.rglob("*.py")):
        relative = module.relative_to(source)
        test = root / "test" / relative.with_name(f"test_{relative.name.lstrip('_')}")
        if relative.name != "__init__.py" and not test.is_file():
            missing.append(f"vla_ros/{relative}: no {test.relative_to(root)}")
    return missing


def test_every_module_has_its_test_file():
    assert untested_modules(ROOT) == []


def test_a_module_without_a_test_file_is_found(tmp_path: Path):
    for name in ("__init__", "_private", "seen", "unseen"):
        _write(tmp_path / f"vla_ros/core/{name}.py")
    _write(tmp_path / "test/core/test_private.py")
    _write(tmp_path / "test/core/test_seen.py")
    _write(tmp_path / "test/test_unseen.py")

    assert untested_modules(tmp_path) == ["vla_ros/core/unseen.py: no test/core/test_unseen.py"]


def _write(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
