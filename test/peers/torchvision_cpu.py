# SPDX-License-Identifier: Apache-2.0
"""Lets torchvision's CUDA build be imported beside torch's CPU build.

Copied into the peer environment and imported there at every start, by a ``.pth`` file. torchvision
describes operators at import that only its own library declares, and that library loads with CUDA
alone: declaring the two is enough for all that is written in Python. They still cannot be called.
"""

from __future__ import annotations

import importlib.abc
import sys
from typing import Any

_OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_kept: list[Any] = []


class _Declare(importlib.abc.MetaPathFinder):
    """Finds nothing; declares the operators when torchvision is about to be imported."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> None:
        del path, target
        if fullname == "torchvision" and not _kept:
            import torch  # noqa: PLC0415 - half a second that most programs here do not need

            _kept.append(torch.library.Library("torchvision", "DEF"))
            for operator in _OPERATORS:
                _kept[0].define(operator)


sys.meta_path.insert(0, _Declare())
