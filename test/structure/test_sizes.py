# SPDX-License-Identifier: Apache-2.0
"""Modules and functions stay small enough to be read at once."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
MAX_MODULE_LINES = 300
MAX_FUNCTION_LINES = 60


def oversized(root: Path) -> list[str]:
    """Names each module and each function below vla_ros/ that is too long, with its length."""
    found = []
    for path in sorted((root / "vla_ros").rglob("*.py")):
        name = path.relative_to(root)
        text = path.read_text(encoding="utf-8")
        lines = len(text.splitlines())
        if lines > MAX_MODULE_LINES:
            found.append(f"{name}: {lines} lines, at most {MAX_MODULE_LINES}")
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                continue
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > MAX_FUNCTION_LINES:
                found.append(f"{name}: {node.name}: {lines} lines, at most {MAX_FUNCTION_LINES}")
    return found


def test_modules_and_functions_are_small():
    assert oversized(ROOT) == []


def test_an_oversized_module_and_function_are_found(tmp_path: Path):
    package = tmp_path / "vla_ros"
    package.mkdir()
    body = "    pass\n"
    (package / "long.py").write_text("\n" * 301)
    (package / "fits.py").write_text("\n" * 240 + "def fits():\n" + body * 59)
    (package / "deep.py").write_text("class A:\n  async def deep(self):\n" + body * 60)

    assert oversized(tmp_path) == [
        "vla_ros/deep.py: deep: 61 lines, at most 60",
        "vla_ros/long.py: 301 lines, at most 300",
    ]
