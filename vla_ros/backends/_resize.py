# SPDX-License-Identifier: Apache-2.0
"""Images of another size. Pure; any thread may call."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from vla_ros.core.image_size import Resize
from vla_ros.core.policy_io import PolicyInput
from vla_ros.core.policy_spec import PolicySpec


def resized(policy: PolicySpec, given: PolicyInput) -> PolicyInput:
    """The same with the images as the policy's description wants them sent."""
    if not policy.resizes:
        return given
    video = {
        key: fitted(images, policy.resizes[key]) if key in policy.resizes else images
        for key, images in given.video.items()
    }
    return replace(given, video=video)


def fitted(images: NDArray[np.uint8], resize: Resize) -> NDArray[np.uint8]:
    """(..., H, W, 3) Images of the size asked for; the same array where they have it."""
    if images.shape[-3:-1] == resize.size:
        return images
    return padded(images, resize.size) if resize.pad else stretched(images, resize.size)


def stretched(images: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """(..., H, W, 3) The whole image in another size, with other proportions where that has them.

    Args:
        images: (..., H, W, 3) uint8.
        size: H and W of the result [px].
    """
    if images.ndim > 3:
        return np.stack([stretched(image, size) for image in images])
    if images.shape[:2] == size:
        return images
    height, width = size
    # Averages where pixels are left out, as image libraries for models do.
    shrinks = height * width < images.shape[0] * images.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(images, (width, height), interpolation=how), np.uint8)


def padded(images: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """(..., H, W, 3) The whole image as large as it fits, in the middle of black.

    Args:
        images: (..., H, W, 3) uint8.
        size: H and W of the result [px].
    """
    height, width = images.shape[-3:-1]
    scale = min(size[0] / height, size[1] / width)
    inner = max(round(height * scale), 1), max(round(width * scale), 1)
    top, left = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    canvas = np.zeros((*images.shape[:-3], *size, 3), np.uint8)
    canvas[..., top : top + inner[0], left : left + inner[1], :] = stretched(images, inner)
    return canvas
