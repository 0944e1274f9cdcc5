"""The part of an image that a query is about. No rclpy."""

from dataclasses import dataclass, replace

import numpy as np

from lisa_ros.errors import InvalidRegionError
from lisa_ros.types import SegmentationResult, Target


@dataclass(frozen=True)
class Region:
    """A rectangle of pixels: columns x to x + width, rows y to y + height, the last ones not in it."""

    x: int
    y: int
    width: int
    height: int

    @classmethod
    def from_message(cls, message) -> "Region | None":
        """From a sensor_msgs/RegionOfInterest; None where all of it is zero, for the whole image.

        Raises InvalidRegionError for one without pixels, and for one of the raw image.
        """
        region = cls(message.x_offset, message.y_offset, message.width, message.height)
        if message.do_rectify:
            raise InvalidRegionError("region.do_rectify must be false: images are rectified before they come here")
        if region == cls(0, 0, 0, 0):
            return None
        if not region.width or not region.height:
            raise InvalidRegionError(f"region {region} has no pixels; give all zeros for the whole image")
        return region

    def __str__(self) -> str:
        return f"{self.width}x{self.height} at ({self.x}, {self.y})"

    def crop(self, image: np.ndarray) -> np.ndarray:
        """(H, W, ...) to the region's (height, width, ...), contiguous.

        Raises InvalidRegionError where the region reaches out of the image.
        """
        height, width = image.shape[:2]
        if self.x + self.width > width or self.y + self.height > height:
            raise InvalidRegionError(f"region {self} reaches out of the image of {width}x{height} pixels")
        return np.ascontiguousarray(image[self._slices])

    def enlarge(self, result: SegmentationResult, shape: tuple[int, int]) -> SegmentationResult:
        """A result about the cropped image as one about the whole image of (H, W): outside nothing is segmented."""
        return replace(result, targets=tuple(self._enlarge(target, shape) for target in result.targets))

    def _enlarge(self, target: Target, shape: tuple[int, int]) -> Target:
        mask = np.zeros(shape, bool)
        mask[self._slices] = target.mask
        return replace(
            target,
            mask=mask,
            logits=self._enlarge_logits(target.logits, shape),
            coarse=self._enlarge_logits(target.coarse, shape),
            alternative=target.alternative and self._enlarge(target.alternative, shape),
        )

    def _enlarge_logits(self, logits: np.ndarray | None, shape: tuple[int, int]) -> np.ndarray | None:
        if logits is None:
            return None
        enlarged = np.full(shape, -np.inf, np.float32)
        enlarged[self._slices] = logits
        return enlarged

    @property
    def _slices(self) -> tuple[slice, slice]:
        return slice(self.y, self.y + self.height), slice(self.x, self.x + self.width)
