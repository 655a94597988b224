# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from vla_ros.bringup.film import write_film


def test_a_film_shows_the_pictures_in_order(tmp_path: Path) -> None:
    for index in range(12):
        picture = np.full((48, 64, 3), 20 * index, dtype=np.uint8)
        cv2.imwrite(str(tmp_path / f"{index:05d}.jpg"), picture)
    path = tmp_path / "film.mp4"
    assert write_film(tmp_path, path, duration_s=1.2) == 12
    film = cv2.VideoCapture(str(path))
    assert film.get(cv2.CAP_PROP_FPS) == 10.0
    means = []
    while True:
        more, picture = film.read()
        if not more:
            break
        assert picture.shape == (48, 64, 3)
        means.append(picture.mean())
    assert len(means) == 12
    assert np.all(np.diff(means) > 10)


def test_no_pictures_make_no_film(tmp_path: Path) -> None:
    assert write_film(tmp_path, tmp_path / "film.mp4", duration_s=1.2) == 0
    assert not (tmp_path / "film.mp4").exists()
