"""Masks of COCO annotations, to the pixel as COCO's own API draws them: polygons and run lengths."""

from collections.abc import Mapping, Sequence

import numpy as np

from lisa_ros.errors import DatasetError
from lisa_ros.geometry.run_lengths import run_length_mask

_SCALE = 5  # of the finer grid that COCO's API draws outlines on
_FARTHEST = 100_000  # coordinate of a polygon; drawing takes memory in proportion


def segmentation_mask(segmentation: object, height: int, width: int) -> np.ndarray:
    """(H, W) bool of an annotation's `segmentation`: run lengths, or a list of polygons and run lengths, their union.

    Raises DatasetError saying what is wrong with it.
    """
    parts = [segmentation] if isinstance(segmentation, Mapping) else segmentation
    if not isinstance(parts, list):
        raise DatasetError(f"a segmentation must be a list or run lengths, not {type(parts).__name__}")
    mask = np.zeros((height, width), bool)
    for part in parts:
        draw = run_length_mask if isinstance(part, Mapping) else polygon_mask
        mask |= draw(part, height, width)
    return mask


def polygon_mask(polygon: Sequence[float], height: int, width: int) -> np.ndarray:
    """(H, W) bool of a polygon [x0, y0, x1, y1, ...] in pixels; two corners enclose nothing. Raises DatasetError."""
    try:
        points = np.asarray(polygon, float).reshape(-1, 2)
    except (TypeError, ValueError):
        raise DatasetError(f"a polygon must be a list x, y, x, y, ... of numbers, not {str(polygon)[:80]}") from None
    if not (np.abs(points) <= _FARTHEST).all():
        raise DatasetError(f"a polygon has a coordinate that is no number or beyond {_FARTHEST}")
    if len(points) < 3:
        return np.zeros((height, width), bool)
    grid = np.trunc(points * _SCALE + 0.5).astype(np.int64)
    across, down = _outline(grid)
    return _filled(across, down, height, width)


def _outline(grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every point (x, y) of the closed outline on the finer grid, edge after edge, both of (n,) int64."""
    parts = []
    for start, end in zip(grid, np.roll(grid, -1, axis=0), strict=True):
        steps = int(np.abs(end - start).max())
        main = int(np.abs(end - start).argmax())  # x where both are as far
        first, last = (start, end) if start[main] <= end[main] else (end, start)
        ahead = np.arange(steps + 1)
        edge = np.empty((steps + 1, 2), np.int64)
        edge[:, main] = first[main] + ahead
        slope = (last[1 - main] - first[1 - main]) / max(steps, 1)
        edge[:, 1 - main] = np.trunc(first[1 - main] + slope * ahead + 0.5)
        parts.append(edge if first is start else edge[::-1])
    return tuple(np.concatenate(parts).T)


def _filled(x: np.ndarray, y: np.ndarray, height: int, width: int) -> np.ndarray:
    """(H, W) bool inside of an outline: each column changes at the points where the outline crosses its middle."""
    left = np.minimum(x[1:], x[:-1])
    column = (left + 0.5) / _SCALE - 0.5
    row = np.ceil(np.clip((np.minimum(y[1:], y[:-1]) + 0.5) / _SCALE - 0.5, 0, height))
    crossing = (x[1:] != x[:-1]) & (column == np.floor(column)) & (column >= 0) & (column <= width - 1)
    starts = (column[crossing] * height + row[crossing]).astype(np.int64)
    changes = np.bincount(starts, minlength=height * width + 1)[: height * width]
    return (np.cumsum(changes) % 2 == 1).reshape(width, height).T
