# SPDX-License-Identifier: Apache-2.0
"""Every import is declared: in package.xml, or by an extra of setup.py where rosdep has no key."""

from __future__ import annotations

import ast
import re
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]

# Modules whose rosdep key is not their name.
ROSDEP_KEYS = {
    "cv2": "python3-opencv",
    "grpc": "python3-grpcio",
    "matplotlib": "python3-matplotlib",
    "msgpack": "python3-msgpack",
    "numpy": "python3-numpy",
    "yaml": "python3-yaml",
    "zmq": "python3-zmq",
}


def undeclared(root: Path) -> list[str]:
    """Names each imported third-party module that neither package.xml nor setup.py declares."""
    package = ET.parse(root / "package.xml").getroot()
    declared = {
        element.text for tag in ("depend", "exec_depend") for element in package.findall(tag)
    } | _extras(root / "setup.py")
    return sorted(
        {
            f"{module}: no {ROSDEP_KEYS.get(module, module)} in package.xml, nor an extra"
            for module in _third_party(root)
            if module not in declared and ROSDEP_KEYS.get(module) not in declared
        }
    )


def _third_party(root: Path) -> Iterator[str]:
    ours = {"vla_ros", "__future__"} | set(sys.stdlib_module_names)
    for folder in ("launch", "vla_ros"):
        for path in (root / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = []
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and node.level == 0:
                    names = [node.module or ""]
                yield from ({name.split(".")[0] for name in names} - ours)


def _extras(setup: Path) -> set[str]:
    for node in ast.walk(ast.parse(setup.read_text(encoding="utf-8"))):
        if isinstance(node, ast.keyword) and node.arg == "extras_require":
            extras = ast.literal_eval(node.value)
            return {re.split(r"[^\w-]", item)[0] for items in extras.values() for item in items}
    return set()


def test_every_import_is_declared():
    assert undeclared(ROOT) == []


def test_an_undeclared_import_is_found(tmp_path: Path):
    (tmp_path / "package.xml").write_text(
        "<package><depend>rclpy</depend><exec_depend>python3-zmq</exec_depend>"
        "<test_depend>std_msgs</test_depend></package>"
    )
    (tmp_path / "setup.py").write_text("setup(extras_require={'sim': ['mujoco>=3']})\n")
    (tmp_path / "vla_ros").mkdir()
    (tmp_path / "vla_ros/node.py").write_text(
        "import os, rclpy.node, zmq, mujoco\nfrom std_msgs.msg import Header\n"
        "def late():\n    import cv2\nfrom . import other\n"
    )

    assert undeclared(tmp_path) == [
        "cv2: no python3-opencv in package.xml, nor an extra",
        "std_msgs: no std_msgs in package.xml, nor an extra",
    ]
