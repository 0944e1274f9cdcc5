"""Renders layouts to RGB-D images with exact truth: `generate_scene` for still scenes, `scene_at` for moving ones."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numba import njit

from lisa_ros.errors import ConfigurationError
from lisa_ros.simulator.layout import Layout, SceneCamera, SceneOptions, camera_of
from lisa_ros.simulator.layout_sampling import sample_layout
from lisa_ros.simulator.rendering import Body, render

MOTIONS = ("static", "camera", "objects")
_MIN_PIXELS = 60 / (256 * 192)  # share of the image
_MIN_FRACTION = 0.4
_SWING = math.radians(12.0)
PERIOD = 8.0  # s of one motion, after which it repeats


@dataclass(frozen=True)
class SceneObject:
    """One object of a rendered scene.

    Attributes:
        id: Its value in `Scene.instances`.
        category: One of the household categories ("mug").
        colour: Name of its colour ("red").
        position: (3,) m in the world, where its frame stands on the table.
        yaw: Rotation about z, rad.
        centre: (3,) m, centre of its oriented box in the world.
        extents: (3,) m, full lengths of that box along the object's x and y and the world's z.
        pixels: Number of visible pixels.
        visible: Visible share of the pixels that it would cover without other objects.
        centroid: (u, v) px, mean of its visible pixels.
        queryable: Whether it is visible enough to be asked about.
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
    """A rendered scene with its ground truth.

    Attributes:
        seed: Seed of the scene.
        image: (H, W, 3) uint8 RGB.
        depth: (H, W) float32, m along the optical axis, 0 = none.
        instances: (H, W) uint8, 0 = table or room, i = objects[i - 1].
        objects: The objects, in the order of their ids.
        intrinsics: (3, 3) float64, px, pixel centres at integers.
        camera_pose: (4, 4) float64, world <- optical frame (x right, y down, z forward), m.
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
    """Renders the scene of a seed.

    The same seed at another size of the same aspect ratio gives the same scene.

    Args:
        seed: Whole number of at least 0.
        height: Of the image, px.
        width: Of the image, px.
        **options: Fields of `SceneOptions`.

    Returns:
        The scene with its truth.

    Raises:
        ConfigurationError: If an option or the size is out of range, or the scene has no room for that many objects.

    Example:
        >>> scene = generate_scene(7, height=192, width=256, objects=(3, 5))
        >>> scene.image.shape, 3 <= len(scene.objects) <= 5
        ((192, 256, 3), True)
    """
    return scene_at(seed, 0.0, "static", height, width, **options)


def scene_at(seed: int, time: float, motion: str = "static", height: int = 192, width: int = 256, **options) -> Scene:
    """Renders the scene of a seed after some seconds of motion.

    Args:
        seed: Whole number of at least 0.
        time: Seconds since the beginning; at time 0 all motions give `generate_scene`.
        motion: "static" (nothing changes), "camera" (the camera swings around the table) or "objects" (the arrangement
            rotates on the table, as on a turntable).
        height: Of the image, px.
        width: Of the image, px.
        **options: Fields of `SceneOptions`.

    Returns:
        The scene with its truth.

    Raises:
        ConfigurationError: If the motion is unknown, or an option or the size is out of range.
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


def _render(layout: Layout, camera: SceneCamera, height: int, width: int, turn: float, frame: int) -> Scene:
    poses = [_turned(placed, layout.look_at, turn) for placed in layout.objects]
    bodies = [
        Body(placed.parts, placed.corners, _spin(yaw), (x, y, 0.0))
        for placed, (x, y, yaw) in zip(layout.objects, poses, strict=True)
    ]
    shown = render(bodies, layout, camera, height, width, frame)
    objects = _truth(layout.objects, poses, shown.corners, shown.first, shown.instances, shown.full_area)
    return Scene(
        layout.seed, shown.image, shown.depth.astype(np.float32), shown.instances, objects, camera.intrinsics,
        camera.pose,
    )  # fmt: skip


@njit(cache=True, nogil=True)
def _measure(instances, sums):
    """sums: (objects + 1, 3) int: pixels, sum of u, sum of v."""
    for v in range(instances.shape[0]):
        for u in range(instances.shape[1]):
            i = instances[v, u]
            sums[i, 0] += 1
            sums[i, 1] += u
            sums[i, 2] += v


def _spin(yaw):
    """Rotation about the world's z axis."""
    c, s = math.cos(yaw), math.sin(yaw)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def _truth(objects, poses, corners, first, instances, full_area):
    sums = np.zeros((len(objects) + 1, 3), np.int64)
    _measure(instances, sums)
    truth = []
    for i, (placed, (x, y, yaw)) in enumerate(zip(objects, poses, strict=True)):
        pixels = int(sums[i + 1, 0])
        spin = _spin(yaw)
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
