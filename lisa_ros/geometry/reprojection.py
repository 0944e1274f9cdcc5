"""A depth image as another camera sees it: each pixel's patch is moved there, and the nearest one hides the others."""

import math

import numpy as np
from numba import njit

from lisa_ros.geometry.camera import CameraModel

# A patch reaches a little beyond its pixel, or rotation and rounding would open cracks between neighbours.
_OVERLAP = 0.51


def reproject_depth(depth_m: np.ndarray, source: CameraModel, wanted: CameraModel, pose: np.ndarray) -> np.ndarray:
    """(H, W) float32 m along the wanted camera's z; 0 where it sees nothing that the source sees.

    depth_m: (h, w) float32 m along the source's z, 0 where invalid. source: of w x h pixels. wanted: of W x H pixels.
    pose: (4, 4) wanted optical frame <- source optical frame.
    """
    out = np.full((wanted.height, wanted.width), np.inf, np.float32)
    rays = source.fx, source.fy, source.cx, source.cy
    target = wanted.fx, wanted.fy, wanted.cx, wanted.cy
    _splat(np.ascontiguousarray(depth_m, np.float32), rays, target, np.ascontiguousarray(pose, np.float64), out)
    out[np.isinf(out)] = 0
    return out


def view_of(color: CameraModel, depth: CameraModel) -> CameraModel:
    """The colour image's view with about as many pixels for an angle as the depth image has, and no more of its own."""
    scale = min(1.0, depth.fx / color.fx, depth.fy / color.fy)
    return color.scaled(max(1, round(color.width * scale)), max(1, round(color.height * scale)))


@njit(cache=True)
def _splat(depth, source, target, pose, out):  # pragma: no cover - compiled
    fx, fy, cx, cy = source
    gx, gy, hx, hy = target
    height, width = out.shape
    for v in range(depth.shape[0]):
        ray_y = (v - cy) / fy
        # The ray's direction after the rotation is linear in its column.
        ax, ay, az = (
            pose[0, 1] * ray_y + pose[0, 2],
            pose[1, 1] * ray_y + pose[1, 2],
            pose[2, 1] * ray_y + pose[2, 2],
        )
        for u in range(depth.shape[1]):
            z = depth[v, u]
            if not z > 0:
                continue
            ray_x = (u - cx) / fx
            far = z * (pose[2, 0] * ray_x + az) + pose[2, 3]
            if not far > 0:
                continue
            column = gx * (z * (pose[0, 0] * ray_x + ax) + pose[0, 3]) / far + hx
            row = gy * (z * (pose[1, 0] * ray_x + ay) + pose[1, 3]) / far + hy
            half_x, half_y = _OVERLAP * z / far * gx / fx, _OVERLAP * z / far * gy / fy
            if not (-half_x <= column + 0.5 <= width + half_x and -half_y <= row + 0.5 <= height + half_y):
                continue
            # The pixels whose centres the patch covers, and the nearest one in any case.
            left, right = math.ceil(column - half_x), math.floor(column + half_x)
            top, bottom = math.ceil(row - half_y), math.floor(row + half_y)
            if right < left:
                left = right = math.floor(column + 0.5)
            if bottom < top:
                top = bottom = math.floor(row + 0.5)
            for y in range(max(top, 0), min(bottom + 1, height)):
                for x in range(max(left, 0), min(right + 1, width)):
                    if far < out[y, x]:
                        out[y, x] = far
