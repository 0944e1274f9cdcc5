"""The interface of what moves masks from one image to later ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class TrackedMask:
    """One mask, moved to a later image.

    Attributes:
        mask: (H, W) bool, the pixels that are seen there.
        confidence: Share of the mask that was found again, 0 to 1: 1 where all of it is seen and looks as it did.
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
