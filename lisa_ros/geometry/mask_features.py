"""What a mask's logits tell about the mask: whether it is one piece, compact, and sure of its outline."""

import cv2
import numpy as np

from lisa_ros.types import MaskFeatures

_OFFSET = 1.0  # of the threshold, in logits; segment-anything's default
_LONG_SIDE = 256  # px: what is measured is sampled to it, so that time and figures do not grow with the camera


def mask_features(logits: np.ndarray) -> MaskFeatures | None:
    """Features of the mask where `logits` are above 0.

    Args:
        logits: (H, W) float32.

    Returns:
        The features; None for an empty mask.
    """
    window = _window(logits)
    mask = window > 0
    if not mask.any():
        return None
    largest = _largest_part(mask)
    pixels = int(np.count_nonzero(largest))
    stability = np.count_nonzero(window > _OFFSET) / np.count_nonzero(window > -_OFFSET)
    return MaskFeatures(pixels / int(np.count_nonzero(mask)), pixels / _hull_pixels(largest), float(stability))


def _window(logits: np.ndarray) -> np.ndarray:
    """The part of the logits that holds all that is measured, sampled to a long side of at most _LONG_SIDE."""
    left, top, width, height = cv2.boundingRect((logits > -_OFFSET).view(np.uint8))
    whole = logits[top : top + height, left : left + width]
    step = -(-max(width, height) // _LONG_SIDE)
    if step > 1 and (sampled := whole[step // 2 :: step, step // 2 :: step]).size and (sampled > 0).any():
        return np.ascontiguousarray(sampled)
    return np.ascontiguousarray(whole)  # also of a mask so thin that no sample hits it


def _largest_part(mask: np.ndarray) -> np.ndarray:
    """(h, w) bool: the largest 8-connected part of a mask that has pixels."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    return labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())


def _hull_pixels(part: np.ndarray) -> int:
    """Number of pixels in the convex hull of a part that has pixels."""
    contours, _ = cv2.findContours(part.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    hull = np.zeros(part.shape, np.uint8)
    cv2.fillConvexPoly(hull, cv2.convexHull(np.concatenate(contours)), 1)
    return int(np.count_nonzero(hull | part.view(np.uint8)))
