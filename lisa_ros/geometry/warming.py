"""Compiled code before it is needed: numba's kernels take many seconds to compile once, and some to load ever after."""

import numpy as np

from lisa_ros.geometry.camera import CameraModel
from lisa_ros.geometry.clouds import target_clouds
from lisa_ros.geometry.reprojection import reproject_depth

_SIZE = 96, 128
_NOISE = 0.006  # m, enough for the depth to be smoothed
_STRETCH = 1.6  # so that the object has mirror planes and may not be turned


def warm_up() -> None:
    """Makes a cloud of a small scene, a lemon on a table, which takes every path of a query that is compiled.

    Called where queries are answered, before the first one comes. Compiled code is kept beside the package, or where
    that cannot be written to in NUMBA_CACHE_DIR or the user's cache.
    """
    height, width = _SIZE
    camera = CameraModel(width, height, 110.0, 110.0, (width - 1) / 2, (height - 1) / 2)
    v, u = np.mgrid[:height, :width]
    rays = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones(v.shape)], axis=-1)
    up, center, radius = np.array([0.0, -0.8, -0.6]), np.array([0.0, 0.0, 0.8]), 0.06
    depth = (up @ center - radius) / np.minimum(rays @ up, -1e-3)
    rays[..., 0] /= _STRETCH
    along, square = rays @ center, (rays**2).sum(axis=-1)
    inside = along**2 - square * (center @ center - radius**2)
    mask = inside > 0
    depth[mask] = ((along - np.sqrt(np.maximum(inside, 0))) / square)[mask]
    depth += np.random.default_rng(0).normal(0.0, _NOISE, depth.shape)
    reproject_depth(depth, camera, camera, np.eye(4))
    target_clouds([mask], depth.astype(np.float32), np.zeros((height, width, 3), np.uint8), camera)
