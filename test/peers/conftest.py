# SPDX-License-Identifier: Apache-2.0
"""Beside the tests here stand programs: they hold no doctests, and need what the peers need."""

from __future__ import annotations

collect_ignore_glob = ["fakearm.py", "gr00t_peer.py", "lerobot_*.py", "torchvision_cpu.py"]
