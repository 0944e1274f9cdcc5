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


def large_parts(mask: np.ndarray, min_part: float) -> np.ndarray:
    """(H, W) bool mask without its 8-connected parts that are smaller than `min_part` of the largest one."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0
    return (areas >= max(1, min_part * areas.max()))[labels] & mask


def at_size(mask: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A mask (H, W) bool sampled at the centres of the pixels of another size (h, w)."""
    if mask.shape == shape:
        return mask
    return mask[np.ix_(nearest_index(shape[0], mask.shape[0]), nearest_index(shape[1], mask.shape[1]))]


def bounding_box(mask: np.ndarray, margin: int = 0) -> tuple[slice, slice]:
    """Rows and columns of the pixels of a mask (H, W) bool that has some, and `margin` pixels around them."""
    height, width = mask.shape
    left, top, columns, rows = cv2.boundingRect(mask.view(np.uint8))
    return (
        slice(max(0, top - margin), min(height, top + rows + margin)),
        slice(max(0, left - margin), min(width, left + columns + margin)),
    )


def dilate(mask: np.ndarray, radius: int) -> np.ndarray:
    """(H, W) bool mask grown by `radius` pixels in every direction."""
    kernel = np.ones((2 * radius + 1, 2 * radius + 1), dtype=np.uint8)
    return cv2.dilate(mask.astype(np.uint8), kernel).astype(bool)
