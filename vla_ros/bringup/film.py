# SPDX-License-Identifier: Apache-2.0
"""A film (H.264 in MP4) out of a folder of pictures. One thread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import av


def write_film(frames: Path, path: Path, *, rate_hz: int) -> int:
    """Write a film.

    Args:
        frames: A folder of JPEG files, shown in the order of their names.
        path: The MP4 file to write.
        rate_hz: Pictures per second.

    Returns:
        How many pictures it has; of none, no file is written.
    """
    pictures = sorted(frames.glob("*.jpg"))
    if not pictures:
        return 0
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
            film.mux(stream.encode(limited))
        film.mux(stream.encode())
    return len(pictures)


def _decoded(pictures: Sequence[Path]) -> Iterator[av.VideoFrame]:
    for picture in pictures:
        with av.open(str(picture)) as file:
            yield from file.decode(video=0)
