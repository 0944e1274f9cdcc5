"""Facts about and repairs of binary masks."""

import cv2
import numpy as np

IGNORE = 255  # label of pixels that do not count


def labels_of(mask: np.ndarray, ignore: np.ndarray) -> np.ndarray:
    """(H, W) uint8 of two (H, W) bool: 1 in the mask, 0 outside, IGNORE where `ignore` is set."""
    return np.where(ignore, np.uint8(IGNORE), mask.astype(np.uint8))


def count_components(mask: np.ndarray) -> int:
    """Number of 8-connected parts of a mask (H, W) bool."""
    return cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)[0] - 1


def touches_border(mask: np.ndarray) -> bool:
    """Whether a mask (H, W) bool reaches the image's border, so that the object may go on outside."""
    return bool(mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any())


def nearest_index(size: int, source: int) -> np.ndarray:
    """(size,) int: for each pixel of an axis of `size`, the pixel of an axis of `source` that covers its centre."""
    return ((np.arange(size) + 0.5) * source / size).astype(np.intp)


def erode_parts(mask: np.ndarray, radius: int, min_kept: float, min_part: float) -> np.ndarray:
    """(H, W) bool mask without a rim of `radius` pixels and without small parts.

    A part smaller than `min_part` of the largest one is dropped. A part that would keep less than `min_kept` of its
    pixels is eroded less, down to not at all, so that a knife three pixels wide survives. The image's border is no rim.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0
    # One pixel of padding keeps OpenCV from treating a mask that fills the image as a special case.
    distance = cv2.distanceTransform(np.pad(mask, 1, mode="edge").astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
    wanted = np.flatnonzero(areas >= max(1, min_part * areas.max()))
    kept = np.isin(labels, wanted) & mask
    limits = np.zeros(count, dtype=np.float32)
    for step in range(1, radius + 1):
        left = np.bincount(labels[kept & (distance > step)], minlength=count)
        limits[left >= np.maximum(1, min_kept * areas)] = step
    return kept & (distance > limits[labels])


def dilate(mask: np.ndarray, radius: int) -> np.ndarray:
    """(H, W) bool mask grown by `radius` pixels in every direction."""
    kernel = np.ones((2 * radius + 1, 2 * radius + 1), dtype=np.uint8)
    return cv2.dilate(mask.astype(np.uint8), kernel).astype(bool)
