"""Renders layouts to RGB-D images with exact truth: `generate_scene` for still scenes, `scene_at` for moving ones."""

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numba import njit

from lisa_ros.errors import ConfigurationError
from lisa_ros.simulator import raycast
from lisa_ros.simulator.layout import Camera, Layout, SceneOptions, camera_of, sample_layout

MOTIONS = ("static", "camera", "objects")
_MIN_PIXELS = 60 / (256 * 192)  # share of the image
_MIN_FRACTION = 0.4
_SWING = math.radians(12.0)
PERIOD = 8.0  # s of one motion, after which it repeats


@dataclass(frozen=True)
class SceneObject:
    """One object of a rendered scene.

    id: its value in `Scene.instances`. position: (3,) world m, where its frame stands on the table. yaw: rad about z.
    centre, extents: (3,) m, its oriented box in the world (axes: object x, object y, world z). pixels: visible pixels.
    visible: visible share of the pixels that it would cover alone. centroid: (u, v) mean of its visible pixels.
    queryable: seen well enough to be asked about.
    """

    id: int
    category: str
    colour: str
    position: np.ndarray
    yaw: float
    centre: np.ndarray
    extents: np.ndarray
    pixels: int
    visible: float
    centroid: tuple[float, float]
    queryable: bool


@dataclass(frozen=True)
class Scene:
    """A rendered scene.

    image: (H, W, 3) uint8 RGB. depth: (H, W) float32, metres along the optical axis, 0 = none. instances: (H, W) uint8,
    0 = table or room, i = objects[i - 1]. intrinsics: (3, 3) float64. camera_pose: (4, 4) float64, world <- optical.
    """

    seed: int
    image: np.ndarray
    depth: np.ndarray
    instances: np.ndarray
    objects: tuple[SceneObject, ...]
    intrinsics: np.ndarray
    camera_pose: np.ndarray

    def mask(self, *ids: int) -> np.ndarray:
        """(H, W) bool: the pixels of the objects with these ids."""
        return np.isin(self.instances, ids)


def generate_scene(seed: int, height: int = 192, width: int = 256, **options) -> Scene:
    """Renders the scene of a seed. options: fields of `SceneOptions`.

    The same seed at another size of the same aspect is the same scene. Raises ConfigurationError for options out of
    range.
    """
    return scene_at(seed, 0.0, "static", height, width, **options)


def scene_at(seed: int, time: float, motion: str = "static", height: int = 192, width: int = 256, **options) -> Scene:
    """The scene of a seed after `time` seconds of motion.

    motion: "static" (nothing changes), "camera" (the camera swings around the table) or "objects" (the arrangement
    turns on the table, as on a turntable). At time 0 all three are `generate_scene`.
    """
    if motion not in MOTIONS:
        raise ConfigurationError(f"motion={motion!r}: choose one of {', '.join(MOTIONS)}")
    if height < 16 or width < 16:
        raise ConfigurationError(f"image size {height}x{width}: both sides must be at least 16 pixels")
    layout = _layout(seed, SceneOptions(**options), height / width)
    swing = _SWING * math.sin(2.0 * math.pi * time / PERIOD)
    camera = camera_of(layout, height, width, swing if motion == "camera" else 0.0)
    frame = 0 if motion == "static" else round(time * 1000.0)
    return _render(layout, camera, height, width, swing if motion == "objects" else 0.0, frame)


@lru_cache(maxsize=8)
def _layout(seed, options, aspect):
    return sample_layout(seed, options, aspect)


def _turned(placed, pivot, angle):
    """(x, y, yaw) of an object after the arrangement has turned about a pivot."""
    c, s = math.cos(angle), math.sin(angle)
    x, y = placed.x - pivot[0], placed.y - pivot[1]
    return pivot[0] + c * x - s * y, pivot[1] + s * x + c * y, placed.yaw + angle


def _render(layout: Layout, camera: Camera, height: int, width: int, turn: float, frame: int) -> Scene:
    poses = [_turned(placed, layout.look_at, turn) for placed in layout.objects]
    prims, corners, first = _primitives(layout.objects, poses)
    boxes = _pixel_boxes(corners, camera, height, width)
    spheres = _bounding_spheres(corners, first)
    rotation, origin = np.ascontiguousarray(camera.pose[:3, :3]), camera.pose[:3, 3].copy()
    k = camera.intrinsics
    intrinsics = (k[0, 0], k[1, 1], k[0, 2], k[1, 2])
    depth = np.empty((height, width))
    owner = np.empty((height, width), np.int32)
    normals = np.empty((height, width, 3), np.float32)
    full_area = np.zeros(len(poses) + 1, np.int64)
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
    instances = parts[np.maximum(owner, -1) + 1]
    objects = _truth(layout.objects, poses, corners, first, instances, full_area)
    return Scene(layout.seed, pixels, depth.astype(np.float32), instances, objects, camera.intrinsics, camera.pose)


def _primitives(objects, poses):
    """(P, COLUMNS) rows, (P, 8, 3) corners of their bounds in the world, (objects + 1,) first row of each object."""
    rows, corners, first = [], [], [0]
    for index, (placed, (x, y, yaw)) in enumerate(zip(objects, poses, strict=True)):
        c, s = math.cos(yaw), math.sin(yaw)
        spin = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
        for part in placed.parts:
            (px, py, pz), (sx, sy, sz) = part.centre, part.scale
            (ax, ay, az), (bx, by, bz), (cx, cy, cz) = ((spin @ part.rotation).T).tolist()
            low, high = part.local_bounds()
            reach = [max(-a, b) for a, b in zip(low, high, strict=True)]
            bound = (reach[0] * sx) ** 2 + (reach[1] * sy) ** 2 + (reach[2] * sz) ** 2
            rows.append((
                part.kind, index + 1, part.texture, part.gloss, *part.shape, *part.colour, *part.colour2,
                ax / sx, ay / sx, az / sx, bx / sy, by / sy, bz / sy, cx / sz, cy / sz, cz / sz,
                c * px - s * py + x, s * px + c * py + y, pz, bound,
            ))  # fmt: skip
        corners.append(placed.corners @ spin.T + (x, y, 0.0))
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


@njit(cache=True, nogil=True)
def _measure(instances, sums):
    """sums: (objects + 1, 3) int: pixels, sum of u, sum of v."""
    for v in range(instances.shape[0]):
        for u in range(instances.shape[1]):
            i = instances[v, u]
            sums[i, 0] += 1
            sums[i, 1] += u
            sums[i, 2] += v


def _truth(objects, poses, corners, first, instances, full_area):
    sums = np.zeros((len(objects) + 1, 3), np.int64)
    _measure(instances, sums)
    truth = []
    for i, (placed, (x, y, yaw)) in enumerate(zip(objects, poses, strict=True)):
        pixels = int(sums[i + 1, 0])
        c, s = math.cos(yaw), math.sin(yaw)
        spin = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
        own = (corners[first[i] : first[i + 1]].reshape(-1, 3) - (x, y, 0.0)) @ spin
        low, high = own.min(0), own.max(0)
        visible = pixels / max(1, int(full_area[i + 1]))
        truth.append(SceneObject(
            id=i + 1, category=placed.category, colour=placed.colour, position=np.array([x, y, 0.0]), yaw=yaw,
            centre=spin @ ((low + high) / 2) + (x, y, 0.0), extents=high - low, pixels=pixels, visible=visible,
            centroid=(sums[i + 1, 1] / max(1, pixels), sums[i + 1, 2] / max(1, pixels)),
            queryable=pixels >= _MIN_PIXELS * instances.size and visible >= _MIN_FRACTION,
        ))  # fmt: skip
    return tuple(truth)
