# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from test.support.gr00t_samples import POLICY, observation, policy
from vla_ros.backends._resize import fitted, padded, resized, stretched
from vla_ros.core.image_size import Resize
from vla_ros.core.policy_io import policy_input


def grey(*shape: int) -> np.ndarray:
    return np.full((*shape, 3), 90, np.uint8)


def test_images_are_resized_as_the_policy_says():
    text = POLICY.replace("{camera: head}", "{camera: head, size: [2, 2], resize: stretch}")
    given = policy_input(policy(text), observation())

    made = resized(policy(text), given)

    assert made.video["front"].shape == (2, 2, 3)
    assert made.video["wrist"] is given.video["wrist"]
    assert (made.state, made.language) == (given.state, given.language)


def test_without_a_word_nothing_is_resized():
    given = policy_input(policy(), observation())

    assert resized(policy(), given) is given


@pytest.mark.parametrize("pad", [False, True])
def test_images_of_the_size_stay_as_they_are(pad: bool):
    images = grey(4, 6)

    assert fitted(images, Resize(4, 6, pad)) is images
    assert fitted(grey(2, 8, 12), Resize(4, 6, pad)).shape == (2, 4, 6, 3)


def test_stretching_keeps_the_whole_image():
    image = grey(4, 8)
    image[:, :4] = 10

    np.testing.assert_array_equal(stretched(image, (2, 2))[0, :, 0], [10, 90])
    assert stretched(image, (4, 8)) is image
    assert stretched(image, (8, 16)).shape == (8, 16, 3)


@pytest.mark.parametrize(
    ("shape", "size", "inner"),
    [
        ((4, 8), (4, 4), (slice(1, 3), slice(0, 4))),
        ((8, 4), (4, 4), (slice(0, 4), slice(1, 3))),
        ((4, 4), (8, 10), (slice(0, 8), slice(1, 9))),
        ((2, 1000), (4, 4), (slice(1, 2), slice(0, 4))),
    ],
)
def test_padding_keeps_the_proportions(
    shape: tuple[int, int], size: tuple[int, int], inner: tuple[slice, slice]
):
    expected = np.zeros((*size, 3), np.uint8)
    expected[inner] = 90

    np.testing.assert_array_equal(padded(grey(*shape), size), expected)
    np.testing.assert_array_equal(padded(grey(2, *shape), size), [expected, expected])
