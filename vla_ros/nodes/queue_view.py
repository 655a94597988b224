# SPDX-License-Identifier: Apache-2.0
"""Shows the queue while the robot works: a picture on a topic, and one in a file at the end.

It only listens to the executor. While nobody looks nothing is drawn. One thread: the one that spins
the node.
"""

from __future__ import annotations

import contextlib
import math
import sys
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image
from vla_ros_msgs.msg import ChunkTiming, ExecutorState

from vla_ros.core.errors import ConfigError
from vla_ros.core.params import param
from vla_ros.nodes.queue_plot import QueueSample, draw_queue
from vla_ros.ros.images import bytes_of
from vla_ros.ros.lifecycle import LifecycleBase
from vla_ros.ros.process import run
from vla_ros.ros.qos import EVENT, NEWEST
from vla_ros.ros.stamps import ns_from_time, time_from_ns


@dataclass(frozen=True, slots=True)
class QueueViewParams:
    """What the view can be told."""

    window_s: float = param(30.0, "How much time is shown [s].", ge=1.0, le=3600.0)
    rate_hz: float = param(2.0, "Pictures per second [Hz].", ge=0.1, le=30.0, read_only=True)
    output: str = param(
        "", "A .png file for the last picture; empty: none is kept.", read_only=True
    )


class QueueView(LifecycleBase):
    """The node."""

    def __init__(self, **kwargs: Any) -> None:
        """Create the node; ``kwargs`` go to rclpy."""
        super().__init__("queue_view", **kwargs)

    def configure(self, undo: contextlib.ExitStack) -> None:
        """Begin with an empty picture."""
        self._group = self.parameters.declare(QueueViewParams)
        self._output = _output(self._group.value.output)
        self._state: ExecutorState | None = None
        self._samples: deque[QueueSample] = deque()
        self._chunks_ns: deque[int] = deque()
        self._images = self.publisher(undo, Image, "executor/queue_image", NEWEST)

    def activate(self, undo: contextlib.ExitStack) -> None:
        """Listen, and draw."""
        undo.callback(self._keep)
        self.subscribe(undo, ExecutorState, "executor/state", self._on_state, EVENT)
        self.subscribe(undo, ChunkTiming, "executor/chunk_timing", self._on_chunk, EVENT)
        self.every(undo, 1.0 / self._group.value.rate_hz, self._show)

    def _on_state(self, message: ExecutorState) -> None:
        stamp_ns = ns_from_time(message.header.stamp)
        if self._samples and stamp_ns < self._samples[-1].stamp_ns:
            self.get_logger().warning("the clock has gone back; beginning anew")
            self._samples.clear()
            self._chunks_ns.clear()
        self._state = message
        self._samples.append(
            QueueSample(
                stamp_ns,
                steps=message.remaining_steps,
                asks_at=message.asks_at_steps,
                hold=_hold(message),
                starved_ticks=message.starved_ticks,
            )
        )
        self._forget(stamp_ns)

    def _on_chunk(self, message: ChunkTiming) -> None:
        self._chunks_ns.append(ns_from_time(message.joined))

    def _forget(self, now_ns: int) -> None:
        """Forget what is too old to be shown."""
        begin_ns = now_ns - round(self._group.value.window_s * 1e9)
        while self._samples[0].stamp_ns < begin_ns:
            self._samples.popleft()
        while self._chunks_ns and self._chunks_ns[0] < begin_ns:
            self._chunks_ns.popleft()

    def _show(self) -> None:
        if self._images.get_subscription_count() == 0:
            return
        now_ns = self.get_clock().now().nanoseconds
        picture = self._draw(now_ns)
        message = Image(height=picture.shape[0], width=picture.shape[1], encoding="rgb8")
        message.step = 3 * message.width
        message.data = bytes_of(picture)
        message.header.stamp = time_from_ns(now_ns)
        self._images.publish(message)

    def _draw(self, now_ns: int) -> NDArray[np.uint8]:
        return draw_queue(
            self._samples,
            self._chunks_ns,
            now_ns=now_ns,
            window_s=self._group.value.window_s,
            words="" if self._state is None else _words(self._state),
        )

    def _keep(self) -> None:
        """Write the last picture, up to the executor's last word."""
        if self._output is None:
            return
        now_ns = self.get_clock().now().nanoseconds
        picture = self._draw(self._samples[-1].stamp_ns if self._samples else now_ns)
        _, encoded = cv2.imencode(".png", picture[:, :, ::-1])
        try:
            self._output.write_bytes(encoded.tobytes())
        except OSError as error:
            self.get_logger().error(f"the picture was not kept: {error}")


def _output(text: str) -> Path | None:
    """Where the last picture goes."""
    if not text:
        return None
    path = Path(text)
    if path.suffix != ".png" or not path.parent.is_dir():
        raise ConfigError(
            f"parameter 'output' must be a .png file in a folder that exists; found {text!r}"
        )
    return path


def _hold(state: ExecutorState) -> str:
    """Why the executor does not move; empty while it does."""
    return "" if state.mode == ExecutorState.MOVE else state.hold_reason or state.mode


def _words(state: ExecutorState) -> str:
    latency = [state.request_to_chunk_ms_p50, state.request_to_chunk_ms_p95]
    told = [
        f"{state.chunks_received} chunks",
        f"{state.chunks_dropped} dropped",
        f"{state.requests_failed} requests failed",
        f"starved {state.starved_ticks} of {state.ticks} ticks",
    ]
    if all(math.isfinite(value) for value in latency):
        told.append(f"request to chunk p50 {latency[0]:.0f} ms, p95 {latency[1]:.0f} ms")
    return "   ".join(told)


def main() -> int:
    """Run the node."""
    return run(QueueView)


if __name__ == "__main__":
    sys.exit(main())
