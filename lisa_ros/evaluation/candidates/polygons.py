"""Overlap of polygons as areas in the plane, not pixels: what ELISA's own validation reports.

It calls the generalised IoU (Rezatofighi et al., CVPR 2019) "gIoU", which elsewhere in this package is the mean IoU.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

Contour = Sequence[Sequence[float]]  # of [x, y], px


@dataclass(frozen=True)
class PolygonOverlap:
    """Truth and prediction of one query as areas.

    Attributes:
        intersection: Area in both, px².
        union: Area in either, px²; 0 where one of them has no valid polygon, which leaves the other out of cIoU.
        generalized_iou: IoU minus the share of the common convex hull that neither covers; from -1 to 1.
    """

    intersection: float
    union: float
    generalized_iou: float

    @property
    def iou(self) -> float:
        """Intersection over union; 0 without a union."""
        return self.intersection / self.union if self.union else 0.0


def contours_of(mask: np.ndarray) -> list[list[list[int]]]:
    """All contours of a mask (H, W) bool, outer ones and holes alike, as [x, y] through pixels' centres."""
    found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
    return [contour[:, 0].tolist() for contour in found]


def polygon_overlap(truth: Iterable[Contour], prediction: Iterable[Contour]) -> PolygonOverlap:
    """Overlap of two sets of contours, each filled: a hole is one more polygon, as in ELISA's validation.

    Args:
        truth: Contours of the targets. Those that cross or touch themselves, or have fewer than three points, count
            for nothing.
        prediction: Contours of what was predicted.

    Returns:
        The overlap.
    """
    first, second = ([c for c in map(np.asarray, contours) if _is_simple(c)] for contours in (truth, prediction))
    if not first or not second:
        return PolygonOverlap(0.0, 0.0, 0.0)
    union = _area([*first, *second])
    intersection = max(0.0, _area(first) + _area(second) - union)
    hull = cv2.contourArea(cv2.convexHull(np.concatenate([*first, *second]).astype(np.float32)))
    overlap = intersection / union - (hull - union) / hull
    return PolygonOverlap(intersection, union, overlap)


def _is_simple(contour: np.ndarray) -> bool:
    """Whether a closed line neither crosses nor touches itself, and encloses an area."""
    if len(contour) < 3:
        return False
    points = contour[np.any(contour != np.roll(contour, 1, axis=0), axis=1)].astype(np.float64)
    count = len(points)
    if count < 3:
        return False
    start, end = points, np.roll(points, -1, axis=0)
    step = end - start
    following = np.roll(step, -1, axis=0)
    turn = step[:, 0] * following[:, 1] - step[:, 1] * following[:, 0]
    if np.any((turn == 0) & ((step * following).sum(axis=1) < 0)):  # goes back on itself
        return False
    for index in range(count - 2):
        others = slice(index + 2, count - (index == 0))
        if np.any(_meet(start[index], end[index], start[others], end[others])):
            return False
    return True


def _meet(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> np.ndarray:
    """Whether the segment a-b has a point in common with each of the segments c-d (n, 2)."""

    def side(p: np.ndarray, q: np.ndarray, r: np.ndarray) -> np.ndarray:
        return np.sign((q - p)[..., 0] * (r - p)[..., 1] - (q - p)[..., 1] * (r - p)[..., 0])

    crossing = (side(a, b, c) * side(a, b, d) <= 0) & (side(c, d, a) * side(c, d, b) <= 0)
    low, high = np.minimum(a, b), np.maximum(a, b)
    return crossing & np.all((np.minimum(c, d) <= high) & (np.maximum(c, d) >= low), axis=1)


def _area(polygons: Sequence[np.ndarray]) -> float:
    """Area of the union of simple polygons.

    Between two neighbouring heights at which a line ends or crosses another one, the covered width is linear in the
    height, so that its value in the middle gives the area of the strip.
    """
    start = np.concatenate(polygons).astype(np.float64)
    end = np.concatenate([np.roll(polygon, -1, axis=0) for polygon in polygons]).astype(np.float64)
    owner = np.repeat(np.arange(len(polygons)), [len(polygon) for polygon in polygons])
    heights = np.unique(np.concatenate([start[:, 1], *_crossing_heights(start, end)]))
    middle, thickness = (heights[1:] + heights[:-1]) / 2, np.diff(heights)
    low, high = np.minimum(start[:, 1], end[:, 1]), np.maximum(start[:, 1], end[:, 1])
    total = 0.0
    for y, strip in zip(middle, thickness, strict=True):
        here = np.flatnonzero((low < y) & (y < high))
        x = start[here, 0] + (end - start)[here, 0] * (y - start[here, 1]) / (end - start)[here, 1]
        order = np.lexsort((x, owner[here]))  # of each polygon the sides in turn: in, out, in, out
        total += strip * _covered(x[order].reshape(-1, 2))
    return float(total)


def _crossing_heights(start: np.ndarray, end: np.ndarray) -> list[np.ndarray]:
    found = []
    step = end - start
    for index in range(len(start) - 1):
        rest = slice(index + 1, None)
        gap, other = start[rest] - start[index], step[rest]
        slope = step[index, 0] * other[:, 1] - step[index, 1] * other[:, 0]
        crossed = slope != 0
        slope, gap, other = slope[crossed], gap[crossed], other[crossed]
        along = (gap[:, 0] * other[:, 1] - gap[:, 1] * other[:, 0]) / slope
        across = (gap[:, 0] * step[index, 1] - gap[:, 1] * step[index, 0]) / slope
        inside = (along > 0) & (along < 1) & (across > 0) & (across < 1)
        found.append(start[index, 1] + along[inside] * step[index, 1])
    return found


def _covered(intervals: np.ndarray) -> float:
    """Length of the union of intervals (n, 2)."""
    intervals = intervals[np.argsort(intervals[:, 0])]
    reached = np.maximum.accumulate(intervals[:, 1])
    begins = np.concatenate([[-np.inf], reached[:-1]])
    return float(np.maximum(0.0, intervals[:, 1] - np.maximum(intervals[:, 0], begins)).sum())
