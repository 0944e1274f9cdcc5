"""Masks moved by dense optical flow; no weights."""

from collections.abc import Sequence

import cv2
import numpy as np

from lisa_ros.tracking.mask_tracker import TrackedMask, check_followed

_SIDE = 256  # px: the flow is computed on an image no longer than this
_STRIDE, _ITERATIONS = 6, 6  # patches of 8 px; 3 ms on one core at 256x192; OpenCV's 4 and 12 gain 1% of IoU
_DIFFERENCE = 28.0  # of 255, mean of the channels: more than noise and shading change from one answer to the next
_NEIGHBOURHOOD = 5  # px of the small image, over which that difference is averaged
_MEAN = np.full((1, 3), 1 / 3, np.float32)  # of the channels


class FlowTracker:
    """A `MaskTracker` by OpenCV's dense inverse search (Kroeger et al., 2016).

    Every image is matched with the one that was started with, and the flow of the image before is where the search
    begins: errors do not add up from image to image. A pixel that does not look as it did is not taken: something is
    in front of it. `confidence` is the share of the mask that was found again.
    """

    def __init__(self) -> None:
        self._flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._flow.setFinestScale(0)
        self._flow.setPatchStride(_STRIDE)
        self._flow.setGradientDescentIterations(_ITERATIONS)
        self._shape: tuple[int, ...] | None = None

    def start(self, image: np.ndarray, masks: Sequence[np.ndarray]) -> None:
        """See `MaskTracker.start`."""
        height, width = image.shape[:2]
        self._shape = image.shape
        self._scale = min(1.0, _SIDE / max(height, width))
        self._first = self._shrink(image)
        self._grey = cv2.cvtColor(self._first, cv2.COLOR_RGB2GRAY)
        self._masks = [mask.astype(np.uint8) * 255 for mask in masks]
        self._areas = [int(np.count_nonzero(mask)) for mask in masks]
        self._found: np.ndarray | None = None
        rows, columns = np.indices(self._grey.shape, np.float32)
        self._grid = np.dstack([columns, rows])

    def update(self, image: np.ndarray) -> tuple[TrackedMask, ...]:
        """See `MaskTracker.update`."""
        check_followed(image, self._shape)
        if not self._masks:
            return ()
        small = self._shrink(image)
        grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
        self._found = self._flow.calc(grey, self._grey, self._found)
        source = self._grid + self._found  # of each pixel its place in the first image
        seen = self._enlarge(self._looks_alike(small, source).astype(np.float32)) > 0.5
        source = (self._enlarge(source) + 0.5) / self._scale - 0.5
        return tuple(self._move(mask, area, source, seen) for mask, area in zip(self._masks, self._areas, strict=True))

    def _looks_alike(self, small: np.ndarray, source: np.ndarray) -> np.ndarray:
        before = cv2.remap(self._first, source, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        difference = cv2.transform(cv2.absdiff(before, small).astype(np.float32), _MEAN)
        return cv2.blur(difference, (_NEIGHBOURHOOD, _NEIGHBOURHOOD)) < _DIFFERENCE

    def _move(self, mask: np.ndarray, area: int, source: np.ndarray, seen: np.ndarray) -> TrackedMask:
        moved = cv2.remap(mask, source, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0) > 127
        visible = moved & seen
        whole = max(int(np.count_nonzero(moved)), area)
        return TrackedMask(visible, int(np.count_nonzero(visible)) / whole if whole else 0.0)

    def _shrink(self, image: np.ndarray) -> np.ndarray:
        if self._scale == 1.0:
            return image.copy()
        height, width = (max(16, round(side * self._scale)) for side in image.shape[:2])
        return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)

    def _enlarge(self, array: np.ndarray) -> np.ndarray:
        height, width = self._shape[:2]
        if array.shape[:2] == (height, width):
            return array
        return cv2.resize(array, (width, height), interpolation=cv2.INTER_LINEAR)
