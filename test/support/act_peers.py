# SPDX-License-Identifier: Apache-2.0
"""An ACT server as its document describes it: plain pickles both ways. Its policy counts."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np

from test.support.act_samples import ACTION, CAMERAS


class PlainActServer:
    """Answers as the documented server: it unpickles, and it pickles.

    Attributes:
        seen: The observations that came in.
        resets: How many resets came in.
        step: Which observation of its episode is the next; None: no episode has begun.
        instead: What is answered to an observation instead of an action; None: what is right.
    """

    def __init__(self, values: int = len(ACTION)) -> None:
        self.seen: list[dict[str, Any]] = []
        self.resets = 0
        self.step: int | None = None
        self.instead: dict[str, Any] | None = None
        self._values = values

    def __call__(self, request: bytes) -> bytes:
        return pickle.dumps(self._answer(pickle.loads(request)))

    def _answer(self, data: Any) -> dict[str, Any]:
        if isinstance(data, str) and data == "RESET":
            self.resets += 1
            self.step = 0
            return {"status": "OK"}
        try:
            self.seen.append(data)
            if self.step is None:
                raise RuntimeError("no episode has begun")
            shapes = [data["qpos"].shape, *(data["images"][camera].shape for camera in CAMERAS)]
            if shapes != [(17,), *[(2, 3, 3)] * 3]:
                raise ValueError(f"shapes {shapes}")
            action = ACTION[: self._values] + np.float32(self.step)
            self.step += 1
        except (KeyError, RuntimeError, ValueError) as error:
            return {"status": "ERROR", "message": f"{type(error).__name__}: {error}"}
        return self.instead or {"status": "OK", "action": action}
