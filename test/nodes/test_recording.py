# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from vla_ros.core.camera_spec import CameraSpec
from vla_ros.core.errors import ConfigError
from vla_ros.nodes.recording import Video, load_recording

ROWS = 6
HEIGHT, WIDTH = 32, 48
SPEC = CameraSpec("eye/image_raw", "raw", HEIGHT, WIDTH, 0.3, None)
COLUMNS = ("a/position", "w/position")
ARRAYS = {
    "state": np.arange(2.0 * ROWS, dtype=np.float32).reshape(ROWS, 2),
    "action": np.zeros((ROWS, 2), dtype=np.float32),
    "timestamp_s": 0.05 * np.arange(1, ROWS + 1),
}


def colour(row: int) -> np.ndarray:
    """(3,) RGB of a row's frame."""
    return np.array([40 * row, 250 - 40 * row, 100])


def write_recording(folder: Path, *, frames: int = ROWS, **changes: np.ndarray | None) -> Path:
    """An episode whose frames are of one colour each."""
    path = folder / "episode.npz"
    arrays = {name: value for name, value in {**ARRAYS, **changes}.items() if value is not None}
    np.savez(path, **arrays)
    writer = cv2.VideoWriter(
        str(path.with_suffix(".mp4")), cv2.VideoWriter_fourcc(*"mp4v"), 20.0, (WIDTH, HEIGHT)
    )
    for row in range(frames):
        writer.write(np.full((HEIGHT, WIDTH, 3), colour(row)[::-1], dtype=np.uint8))
    writer.release()
    return path


def test_the_numbers_of_an_episode(tmp_path: Path):
    recording = load_recording(write_recording(tmp_path), COLUMNS)

    np.testing.assert_array_equal(recording.state, ARRAYS["state"])
    assert recording.timestamp_ns.tolist() == [50_000_000 * row for row in range(1, ROWS + 1)]
    assert recording.video == tmp_path / "episode.mp4"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"state": None}, "array 'state' is missing; there are action, timestamp_s"),
        ({"timestamp_s": None}, "array 'timestamp_s' is missing"),
        ({"state": np.zeros((ROWS, 3))}, r"shape \(6, 3\), expected \(N >= 1, 2\) for a/position"),
        ({"state": np.zeros(ROWS)}, r"shape \(6,\), expected"),
        ({"state": np.zeros((0, 2))}, r"shape \(0, 2\), expected"),
        ({"timestamp_s": np.zeros(3)}, r"shape \(3,\), expected \(6,\)"),
        ({"timestamp_s": np.zeros(ROWS)}, "increase row by row"),
        ({"timestamp_s": np.arange(ROWS) - 1.0}, "begin at 0 or later"),
        ({"state": np.full((ROWS, 2), np.nan)}, "must be finite"),
        ({"state": np.array([["x", "y"]] * ROWS)}, "cannot be read as a recording"),
        ({"state": np.array([[None, 1]] * ROWS)}, "cannot be read as a recording"),
    ],
)
def test_bad_numbers_are_refused(tmp_path: Path, changes, text: str):
    path = write_recording(tmp_path, **changes)

    with pytest.raises(ConfigError, match=f"episode.npz: .*{text}"):
        load_recording(path, COLUMNS)


@pytest.mark.parametrize("content", [None, b"", b"not a zip", b"PK\x03\x04 but broken"])
def test_a_file_that_is_no_recording_is_refused(tmp_path: Path, content: bytes | None):
    path = tmp_path / "other.npz"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ConfigError, match=r"other\.npz: cannot be read as a recording"):
        load_recording(path, COLUMNS)


def test_the_frames_come_in_order(tmp_path: Path):
    video = write_recording(tmp_path).with_suffix(".mp4")

    with contextlib.closing(Video(video, frames=ROWS, spec=SPEC)) as frames:
        for row in range(ROWS):
            frame = frames.read()
            assert (frame.shape, frame.dtype) == ((HEIGHT, WIDTH, 3), np.uint8)
            np.testing.assert_allclose(frame.mean(axis=(0, 1)), colour(row), atol=6)
        with pytest.raises(ConfigError, match=r"episode\.mp4: ends before it should"):
            frames.read()


def test_a_video_that_does_not_fit_is_refused(tmp_path: Path):
    video = write_recording(tmp_path).with_suffix(".mp4")

    with pytest.raises(ConfigError, match="has 6 frames, while the recording has 7 rows"):
        Video(video, frames=7, spec=SPEC)
    other = CameraSpec("eye/image_raw", "raw", 10, 20, 0.3, None)
    with pytest.raises(ConfigError, match="is 32x48 px, while the camera is 10x20"):
        Video(video, frames=ROWS, spec=other)
    with pytest.raises(ConfigError, match=r"none\.mp4: the recording's video does not exist"):
        Video(tmp_path / "none.mp4", frames=ROWS, spec=SPEC)


def test_what_is_no_video_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture):
    (tmp_path / "text.mp4").write_text("not a video")

    with pytest.raises(ConfigError, match=r"text\.mp4: cannot be read as a video"):
        Video(tmp_path / "text.mp4", frames=ROWS, spec=SPEC)
