"""Depth of a camera with other intrinsics than the colour image's, brought onto the colour image's view.

For cameras that stand in one place, as those of a calibrated `.sens` file do: a ray keeps its depth and nothing is
hidden from either, so that each pixel of the wanted view looks up the pixel that its ray meets. Others: `reprojection`.
"""

import numpy as np

from lisa_ros.errors import InvalidImageError
from lisa_ros.geometry.camera import CameraModel

# ScanNet's own calibrations differ by up to half of that, and its annotation is made without regard to it.
_TOLERANCE = 0.01  # of the depth image's width


def displacement(color: CameraModel, depth: CameraModel) -> float:
    """Pixels of the depth image by which it lies beside the colour image's view at most."""
    corners = np.array([(x, y) for x in (0, depth.width - 1) for y in (0, depth.height - 1)], float)
    return float(np.abs(_source(_view(color, depth), depth, *corners.T) - corners).max())


def is_registered(color: CameraModel, depth: CameraModel) -> bool:
    """Whether depth shows the colour image's view, as closely as in ScanNet's published files."""
    same_size = abs(_view(color, depth).height - depth.height) <= 1
    return same_size and displacement(color, depth) <= max(1.0, _TOLERANCE * depth.width)


def registered_camera(color: CameraModel, depth: CameraModel) -> CameraModel:
    """The camera that depth images are given as: their own where it shows the colour image's view, else that view."""
    return depth if is_registered(color, depth) else _view(color, depth)


def _view(color: CameraModel, depth: CameraModel) -> CameraModel:
    """The colour image's view at the depth image's size, or at its width where the aspects differ."""
    try:
        return color.scaled(depth.width, depth.height)
    except InvalidImageError:
        return color.scaled(depth.width, max(1, round(depth.width * color.height / color.width)))


def register(pixels: np.ndarray, depth: CameraModel, wanted: CameraModel) -> np.ndarray:
    """(H, W) depth along z as a camera in the same place sees it: the nearest pixel's value, 0 where there is none.

    pixels: (h, w) of the camera `depth`, any dtype. wanted: the other camera, of W x H pixels.
    """
    if depth == wanted:
        return pixels
    columns = _source(wanted, depth, np.arange(wanted.width), np.zeros(wanted.width))[:, 0]
    rows = _source(wanted, depth, np.zeros(wanted.height), np.arange(wanted.height))[:, 1]
    x, y = np.rint(columns).astype(int), np.rint(rows).astype(int)
    inside = ((y >= 0) & (y < depth.height))[:, None] & ((x >= 0) & (x < depth.width))
    found = pixels[np.ix_(np.clip(y, 0, depth.height - 1), np.clip(x, 0, depth.width - 1))]
    return np.where(inside, found, np.zeros((), pixels.dtype))


def _source(wanted: CameraModel, depth: CameraModel, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(N, 2) pixels of `depth` that the rays through the pixels x (N,), y (N,) of `wanted` meet."""
    rays = np.stack([(x - wanted.cx) / wanted.fx, (y - wanted.cy) / wanted.fy, np.ones(len(x))], axis=1)
    return depth.project(rays)
