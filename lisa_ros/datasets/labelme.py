"""Shapes of labelme's annotation files as pixels, as labelme itself draws them.

Polygons and boxes are filled as LISA's loader fills polygons, which labelme's own rectangles equal to the pixel.
"""

import base64
import binascii
import io
import logging
import math

import numpy as np
from PIL import Image, ImageDraw

from lisa_ros.datasets.polygon_fill import fill_polygon
from lisa_ros.errors import DatasetError

_FARTHEST = 100_000  # coordinate of a point; drawing takes memory in proportion
# labelme's defaults. A line or a point has no area: what is drawn for it is a convention.
_LINE_WIDTH, _POINT_RADIUS = 10, 5
_NO_AREA = (
    f"have no area; they are drawn as labelme does: lines {_LINE_WIDTH} px wide, points with a radius of "
    f"{_POINT_RADIUS} px"
)
_FEW = "few points"
_WITHOUT_AREA = ("line", "linestrip", "point", "points")
_POLYGONS = (None, "", "polygon", "oriented_rectangle", "rotation")  # the last is of X-AnyLabeling
_log = logging.getLogger(__name__)
_warned: set[str] = set()


def shape_mask(shape: dict, height: int, width: int) -> np.ndarray:
    """(H, W) bool of one shape: its `shape_type` (a polygon where there is none) and `points`, [x, y] in pixels.

    Lines and points are drawn as thick as labelme draws them, and a warning says so once. Raises DatasetError, KeyError
    or TypeError.
    """
    kind, points = shape.get("shape_type"), _points(shape["points"])
    if kind in _POLYGONS:
        if len(points) < 3:
            _warn(_FEW, "polygons of one or two points have no area; they are drawn as points or lines a pixel wide")
        return _polygon(points, height, width)
    if kind == "rectangle":
        return _polygon(_corners(points) if len(points) == 2 else _counted(points, 4, kind), height, width)
    if kind == "mask":
        return _pasted(shape, _counted(points, 2, kind), height, width)
    canvas = Image.new("1", (width, height))
    draw = ImageDraw.Draw(canvas)
    if kind == "circle":
        (x, y), rim = _counted(points, 2, kind)
        _disc(draw, x, y, math.dist((x, y), rim))
    elif kind in _WITHOUT_AREA:
        _warn(kind, f"shapes of the type {kind} {_NO_AREA}")
        if kind in ("point", "points"):
            for x, y in _counted(points, 1, kind) if kind == "point" else points:
                _disc(draw, x, y, _POINT_RADIUS)
        else:
            line = _counted(points, 2, kind) if kind == "line" else points
            draw.line([tuple(point) for point in line], fill=1, width=_LINE_WIDTH, joint="curve")
    else:
        raise DatasetError(f"a shape of the type {kind!r} cannot be drawn; save it as a polygon or a mask")
    return np.array(canvas)


def _points(points: list) -> np.ndarray:
    """(n, 2) float64."""
    found = np.array(points, np.float64)
    if found.ndim != 2 or found.shape[1] != 2 or not (np.abs(found) <= _FARTHEST).all():
        raise DatasetError(f"points must be a list of x, y within +-{_FARTHEST}, not {str(points)[:80]}")
    return found


def _counted(points: np.ndarray, count: int, kind: str) -> np.ndarray:
    if len(points) != count:
        raise DatasetError(f"a {kind} has {len(points)} points; it must have {count}")
    return points


def _corners(points: np.ndarray) -> np.ndarray:
    """The four corners of a rectangle, of two that are opposite."""
    (x0, y0), (x1, y1) = points
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])


def _polygon(corners: np.ndarray, height: int, width: int) -> np.ndarray:
    labels = np.zeros((height, width), np.uint8)
    fill_polygon(labels, corners.astype(np.int32), 1)
    return labels == 1


def _disc(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float) -> None:
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=1, fill=1)


def _pasted(shape: dict, corners: np.ndarray, height: int, width: int) -> np.ndarray:
    """The PNG of a mask shape, in the place that its two corners, both within it, say."""
    (x0, y0), (x1, y1) = corners.astype(int).tolist()
    pixels = _decoded(shape.get("mask"))
    if pixels.shape != (y1 - y0 + 1, x1 - x0 + 1):
        size = f"{pixels.shape[1]}x{pixels.shape[0]}"
        raise DatasetError(f"a mask of {size} pixels between the corners {[x0, y0]} and {[x1, y1]}, both included")
    found = np.zeros((height, width), bool)
    top, left = max(0, -y0), max(0, -x0)
    part = pixels[top : max(top, height - y0), left : max(left, width - x0)]
    found[y0 + top : y0 + top + part.shape[0], x0 + left : x0 + left + part.shape[1]] = part
    return found


def _decoded(text: object) -> np.ndarray:
    """(h, w) bool of a PNG as text in base64."""
    if not isinstance(text, str):
        raise DatasetError(f"a shape of the type mask needs its PNG in base64, not {str(text)[:40]!r}")
    try:
        with Image.open(io.BytesIO(base64.b64decode(text, validate=True)), formats=("PNG",)) as image:
            pixels = np.array(image)
    except (binascii.Error, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DatasetError(f"the mask of a shape is no PNG in base64: {error}") from error
    if pixels.ndim != 2:
        raise DatasetError(f"the mask of a shape has {pixels.shape[2]} channels; it must have one")
    return pixels != 0


def _warn(kind: str, text: str) -> None:
    if kind not in _warned:
        _warned.add(kind)
        _log.warning(text)
