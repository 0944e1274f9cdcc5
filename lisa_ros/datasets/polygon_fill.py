"""Filled polygons, to the pixel as OpenCV 4.8 draws them, which LISA was made with; other releases round otherwise."""

import cv2
import numpy as np

_SHIFT = 16  # fixed-point bits of the positions along a row
_HALF = 1 << (_SHIFT - 1)


def fill_polygon(image: np.ndarray, corners: np.ndarray, value: int) -> None:
    """Draws a closed polygon, outline included, into (H, W) uint8. corners: (n, 2) int32 x, y; even-odd rule."""
    cv2.polylines(image, [corners], True, value, 1)
    height, width = image.shape
    points = [(int(x), int(y)) for x, y in corners]
    edges = [_crossings(*pair, height, width) for pair in zip([points[-1], *points[:-1]], points, strict=True)]
    rows, positions = np.concatenate(edges, axis=1)
    order = np.lexsort((positions, rows))
    rows, columns = rows[order][::2], (positions[order] >> _SHIFT).reshape(-1, 2)
    seen = (rows >= 0) & (rows < height) & (columns[:, 0] < width) & (columns[:, 1] >= 0)
    if seen.any():
        _fill_spans(image, rows[seen], np.clip(columns[seen], 0, width - 1), value)


def _fill_spans(image: np.ndarray, rows: np.ndarray, columns: np.ndarray, value: int) -> None:
    """Draws from column columns[i, 0] to columns[i, 1] of row rows[i], ends included; all within the image."""
    top, left, right = rows.min(), columns.min(), columns.max() + 1
    changes = np.zeros((rows.max() + 1 - top, right - left + 1), np.int16)
    np.add.at(changes, (rows - top, columns[:, 0] - left), 1)
    np.subtract.at(changes, (rows - top, columns[:, 1] + 1 - left), 1)
    inside = np.cumsum(changes, axis=1, dtype=np.int16)[:, :-1] > 0
    image[top : top + len(inside), left:right][inside] = value


def _crossings(start: tuple[int, int], end: tuple[int, int], height: int, width: int) -> np.ndarray:
    """(2, n) int64 rows and fixed-point positions at which an edge crosses them; its lowest row is left out."""
    if start[1] == end[1]:
        return np.zeros((2, 0), np.int64)
    (x0, y0), (x1, y1) = _fixed_point(start, end, height, width)
    slope = _truncated(x1 - x0, y1 - y0)
    rows = np.arange(min(start[1], end[1]), max(start[1], end[1]))
    x, y = (x0, y0) if start[1] < end[1] else (x1, y1)
    return np.stack([rows, x + (rows - y) * slope])


def _fixed_point(start: tuple[int, int], end: tuple[int, int], height: int, width: int) -> tuple:
    """The ends of an edge, x in fixed point; OpenCV rounds edges within the image only, and clips the others first."""
    rounding = _HALF
    if not all(0 <= x < width and 0 <= y < height for x, y in (start, end)):
        rounding = 0
        clipped = _clipped(start, end, height - 1, width - 1)
        if clipped[0][1] != clipped[1][1]:
            start, end = clipped
    return tuple(((x << _SHIFT) + rounding, y) for x, y in (start, end))


def _clipped(start: tuple[int, int], end: tuple[int, int], bottom: int, right: int) -> list[tuple[int, int]]:
    """The part of an edge within the image; the edge as it is where it lies beside it."""
    ends = [start, end]
    for axis, last in ((1, bottom), (0, right)):
        sides = [(p[axis] > last) - (p[axis] < 0) for p in ends]
        across = [(p[1 - axis] > (right if axis else bottom)) - (p[1 - axis] < 0) for p in ends]
        if (sides[0] and sides[0] == sides[1]) or (across[0] and across[0] == across[1]):
            break
        for number, side in enumerate(sides):
            if side:
                ends[number] = _cut(ends[number], ends, axis, last if side > 0 else 0)
    return ends


def _cut(point: tuple[int, int], ends: list[tuple[int, int]], axis: int, limit: int) -> tuple[int, int]:
    """`point` moved along the edge to where its coordinate `axis` is `limit`."""
    (across0, along0), (across1, along1) = ((p[1 - axis], p[axis]) for p in ends)
    moved = point[1 - axis] + int(float(limit - point[axis]) * (across1 - across0) / (along1 - along0))
    return (moved, limit) if axis else (limit, moved)


def _truncated(dividend: int, divisor: int) -> int:
    """Quotient of integers rounded towards zero."""
    quotient = abs(dividend) // abs(divisor)
    return quotient if (dividend < 0) == (divisor < 0) else -quotient
