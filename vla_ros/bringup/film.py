# SPDX-License-Identifier: Apache-2.0
"""A film (H.264 in MP4) out of a folder of pictures. One thread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av


def write_film(frames: Path, path: Path, *, duration_s: float) -> int:
    """Write a film.

    Args:
        frames: A folder of JPEG files, shown in the order of their names.
        path: The MP4 file to write.
        duration_s: How long it took to take the pictures, and takes to show them.

    Returns:
        How many pictures it has; of none, no file is written.
    """
    pictures = sorted(frames.glob("*.jpg"))
    if not pictures:
        return 0
    rate_hz = max(round(len(pictures) / duration_s), 1)
    with av.open(str(path), mode="w") as film:
        stream = film.add_stream("libx264", rate=rate_hz, options={"crf": "20"})
        stream.pix_fmt = "yuv420p"
        for index, frame in enumerate(_decoded(pictures)):
            if index == 0:
                stream.width, stream.height = frame.width, frame.height
            # JPEG uses the full range of values, players expect video not to.
            limited = frame.reformat(
                format="yuv420p", src_color_range="JPEG", dst_color_range="MPEG"
            )
            limited.pts, limited.time_base = index, Fraction(1, rate_hz)
            film.mux(stream.encode(limited))
        film.mux(stream.encode())
    return len(pictures)


def _decoded(pictures: Sequence[Path]) -> Iterator[av.VideoFrame]:
    for picture in pictures:
        with av.open(str(picture)) as file:
            yield from file.decode(video=0)
