"""Bodies made of parts, anywhere in the room of a layout, to RGB-D images."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numba import njit

from lisa_ros.simulator import raycast
from lisa_ros.simulator.layout import Layout, SceneCamera
from lisa_ros.simulator.parts import Part


@dataclass(frozen=True)
class Body:
    """Parts in their own frame, turned by rotation (3, 3) and moved to position (3,) world m.

    corners: (parts, 8, 3), bounds of each part in the body's frame.
    """

    parts: Sequence[Part]
    corners: np.ndarray
    rotation: np.ndarray
    position: tuple[float, float, float]


@dataclass(frozen=True)
class Rendering:
    """Images of bodies.

    image: (H, W, 3) uint8 RGB. depth: (H, W) float64 m. instances: (H, W) uint8, 0 = table or room, i = bodies[i - 1].
    full_area: (bodies + 1,) pixels that each would cover alone. corners: (P, 8, 3) bounds of all parts in the world,
    those of body i at first[i] : first[i + 1].
    """

    image: np.ndarray
    depth: np.ndarray
    instances: np.ndarray
    full_area: np.ndarray
    corners: np.ndarray
    first: np.ndarray


def render(
    bodies: Sequence[Body], layout: Layout, camera: SceneCamera, height: int, width: int, frame: int = 0
) -> Rendering:
    """Renders bodies in place of the layout's own objects, with its table, room, light and sensor.

    frame: number of the noise pattern.
    """
    prims, corners, first = _primitives(bodies)
    boxes = _pixel_boxes(corners, camera, height, width)
    spheres = _bounding_spheres(corners, first)
    rotation, origin = np.ascontiguousarray(camera.pose[:3, :3]), camera.pose[:3, 3].copy()
    k = camera.intrinsics
    intrinsics = (k[0, 0], k[1, 1], k[0, 2], k[1, 2])
    depth = np.empty((height, width))
    owner = np.empty((height, width), np.int32)
    normals = np.empty((height, width, 3), np.float32)
    full_area = np.zeros(len(bodies) + 1, np.int64)
    stamp = np.zeros((height, width), np.uint8)
    raycast.cast_ground(rotation, origin, intrinsics, layout.table, depth, owner, normals)
    raycast.cast(prims, boxes, rotation, origin, intrinsics, depth, owner, normals, full_area, stamp)
    image = np.empty((height, width, 3), np.float32)
    raycast.shade(
        prims, spheres, first, rotation, origin, intrinsics, layout.light, layout.grounds, depth, owner, normals, image
    )
    if layout.blur > 0.0:
        image = cv2.GaussianBlur(image, (0, 0), layout.blur * width / 256)
    noise = np.random.default_rng((layout.seed, frame)).standard_normal((height, width, 3), dtype=np.float32)
    pixels = np.empty((height, width, 3), np.uint8)
    _develop(image, noise, layout.exposure, layout.noise, _gamma_table(), pixels)
    parts = np.array([0, *prims[:, raycast.OBJECT]], np.uint8)
    return Rendering(pixels, depth, parts[np.maximum(owner, -1) + 1], full_area, corners, first)


def _primitives(bodies):
    """(P, COLUMNS) rows, (P, 8, 3) corners of their bounds in the world, (bodies + 1,) first row of each body."""
    rows, corners, first = [], [], [0]
    for index, body in enumerate(bodies):
        (x, y, z), turn = body.position, body.rotation.tolist()
        for part in body.parts:
            (px, py, pz), (sx, sy, sz) = part.centre, part.scale
            (ax, ay, az), (bx, by, bz), (cx, cy, cz) = ((body.rotation @ part.rotation).T).tolist()
            low, high = part.local_bounds()
            reach = [max(-a, b) for a, b in zip(low, high, strict=True)]
            bound = (reach[0] * sx) ** 2 + (reach[1] * sy) ** 2 + (reach[2] * sz) ** 2
            centre = (r[0] * px + r[1] * py + r[2] * pz + t for r, t in zip(turn, (x, y, z), strict=True))
            rows.append((
                part.kind, index + 1, part.texture, part.gloss, *part.shape, *part.colour, *part.colour2,
                ax / sx, ay / sx, az / sx, bx / sy, by / sy, bz / sy, cx / sz, cy / sz, cz / sz, *centre, bound,
            ))  # fmt: skip
        corners.append(body.corners @ body.rotation.T + (x, y, z))
        first.append(len(rows))
    if not rows:
        return np.zeros((0, raycast.COLUMNS)), np.zeros((0, 8, 3)), np.array(first)
    return np.array(rows), np.concatenate(corners), np.array(first)


def _pixel_boxes(corners, camera, height, width):
    local = (corners - camera.pose[:3, 3]) @ camera.pose[:3, :3]
    k = camera.intrinsics
    u = local[..., 0] / local[..., 2] * k[0, 0] + k[0, 2]
    v = local[..., 1] / local[..., 2] * k[1, 1] + k[1, 2]
    bounds = np.stack([u.min(1), v.min(1), u.max(1) + 1.0, v.max(1) + 1.0], 1) if len(corners) else np.zeros((0, 4))
    return np.clip(np.floor(bounds) + (0, 0, 1, 1), 0, (width, height, width, height)).astype(np.int64)


def _bounding_spheres(corners, first):
    """(objects, 4): centre and radius."""
    spheres = np.zeros((len(first) - 1, 4))
    for i in range(len(first) - 1):
        points = corners[first[i] : first[i + 1]].reshape(-1, 3)
        centre = (points.min(0) + points.max(0)) / 2
        spheres[i] = [*centre, np.sqrt(((points - centre) ** 2).sum(1).max())]
    return spheres


@lru_cache(maxsize=1)
def _gamma_table():
    return (255.0 * np.linspace(0.0, 1.0, 4097) ** (1 / 2.2)).astype(np.float32)


@njit(cache=True, nogil=True, error_model="numpy")
def _develop(linear, noise, exposure, amount, gamma, pixels):
    """Linear light to 8 bit: exposure, gamma, then noise that grows towards the dark as a sensor's does."""
    height, width, _ = linear.shape
    for v in range(height):
        for u in range(width):
            for c in range(3):
                light = min(max(linear[v, u, c] * exposure, 0.0), 1.0)
                value = gamma[int(light * 4096.0)] + 255.0 * amount * (1.3 - 0.6 * light) * noise[v, u, c]
                pixels[v, u, c] = int(min(max(value, 0.0), 255.0) + 0.5)
