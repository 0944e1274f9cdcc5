"""The interface of what moves masks from one image to later ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from lisa_ros.errors import InvalidImageError


@dataclass(frozen=True)
class TrackedMask:
    """One mask, moved to a later image.

    Attributes:
        mask: (H, W) bool, the pixels that are seen there.
        confidence: How sure the tracker is that it still sees the target, 0 to 1. Below 0.4 it is lost, below 0.7 the
            model is asked.
    """

    mask: np.ndarray
    confidence: float


class MaskTracker(Protocol):
    """Moves masks along with the images of one camera. Used by one thread."""

    def start(self, image: np.ndarray, masks: Sequence[np.ndarray]) -> None:
        """Begins anew with the masks of an image.

        Args:
            image: (H, W, 3) uint8 RGB.
            masks: (H, W) bool each.
        """
        ...

    def update(self, image: np.ndarray) -> tuple[TrackedMask, ...]:
        """Finds the masks in a later image.

        Args:
            image: (H, W, 3) uint8 RGB, of the size that it was started with.

        Returns:
            One for each mask of `start`, in their order.

        Raises:
            InvalidImageError: The image is of another size, or nothing was started.
        """
        ...


def check_followed(image: np.ndarray, shape: tuple[int, ...] | None) -> None:
    """Raises InvalidImageError unless an image has the shape of the one that was started with; None: none was."""
    if image.shape != shape:
        expected = "none was started with" if shape is None else f"it was started with {shape}"
        raise InvalidImageError(f"image {image.shape} cannot be followed: {expected}; call start")
