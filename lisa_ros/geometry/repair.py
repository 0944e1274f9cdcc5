"""Masks without specks and small holes; off unless somebody asks for it, because scores are of masks as they are."""

from dataclasses import replace

import cv2
import numpy as np

from lisa_ros.geometry.options import MaskOptions
from lisa_ros.types import SegmentationResult


def repair_result(result: SegmentationResult, options: MaskOptions) -> SegmentationResult:
    """A result whose targets' masks are `repaired`.

    Logits and what is told of them (`mean_probability`, `quality`, `features`) stay those of the model's own masks.
    """
    if not options.min_component_share:
        return result
    targets = (replace(target, mask=repaired(target.mask, options.min_component_share)) for target in result.targets)
    return replace(result, targets=tuple(targets))


def repaired(mask: np.ndarray, min_component_share: float) -> np.ndarray:
    """A mask (H, W) bool without specks and holes.

    Args:
        mask: The mask.
        min_component_share: Parts smaller than this share of the largest one are dropped, and holes smaller than that
            filled; larger ones, as in the handle of a mug, stay. Parts count with their holes. 0 changes nothing.
    """
    if not min_component_share or not mask.any():
        return mask
    canvas = mask.astype(np.uint8)
    # The outlines of parts (8-connected) and, below them in the hierarchy, of their holes (4-connected).
    contours, hierarchy = cv2.findContours(canvas, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    parent = hierarchy[0, :, 3]
    sizes = [_enclosed(contour, around_hole=above >= 0) for contour, above in zip(contours, parent, strict=True)]
    limit = min_component_share * max(size for size, above in zip(sizes, parent, strict=True) if above < 0)
    small = np.array(sizes) < limit
    for index in np.flatnonzero(small & (parent < 0)):
        cv2.drawContours(canvas, [contours[index]], 0, 0, cv2.FILLED)
    for index in np.flatnonzero(small & (parent >= 0) & ~small[parent]):
        cv2.drawContours(canvas, [contours[index]], 0, 1, cv2.FILLED)
    return canvas.astype(bool)


def _enclosed(contour: np.ndarray, around_hole: bool) -> float:
    """Number of pixels of a part with its holes, or of a hole, by its outline (n, 1, 2): Pick's theorem."""
    half = len(contour) / 2
    return cv2.contourArea(contour) + (1 - half if around_hole else 1 + half if len(contour) > 1 else 1)
