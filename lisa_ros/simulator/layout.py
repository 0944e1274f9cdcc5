"""What determines a scene: options, objects and their places, camera, light and room. No pixels here."""

import math
from dataclasses import dataclass

import numpy as np

from lisa_ros.errors import ConfigurationError
from lisa_ros.simulator.parts import Part
from lisa_ros.simulator.shapes import CATEGORIES

MAX_OBJECTS = 15
ELEVATIONS = {
    "default": (28.0, 60.0),
    "low": (17.0, 26.0),
    "high": (62.0, 80.0),
}  # of the camera over the table, degrees
TEXTURES = {"seen": (0, 1, 1, 2, 3, 4, 5), "unseen": (6, 7, 8, 9)}


@dataclass(frozen=True)
class SceneOptions:
    """How scenes are drawn.

    Attributes:
        objects: Fewest and most objects, within 1..15. A scene without room for more has fewer than were drawn, but
            never fewer than the first number.
        camera: Elevation of the camera: "default", "low", "high", or "other" (low or high).
        textures: Of the grounds: "seen" (training) or "unseen".
        noise: Factor of the sensor noise of the image.
        blur: Sigma of additional Gaussian blur, in px of an image 256 px wide.
        repeats: Share of scenes with several objects of one category.
        categories: What the objects are drawn from. Scenes without repeats have at most one object of each.
    """

    objects: tuple[int, int] = (3, 9)
    camera: str = "default"
    textures: str = "seen"
    noise: float = 1.0
    blur: float = 0.0
    repeats: float = 0.45
    categories: tuple[str, ...] = CATEGORIES

    def __post_init__(self):
        low, high = self.objects
        if not 1 <= low <= high <= MAX_OBJECTS:
            raise ConfigurationError(f"objects={self.objects}: give (fewest, most) within 1..{MAX_OBJECTS}")
        for name, value, known in (
            ("camera", self.camera, (*ELEVATIONS, "other")),
            ("textures", self.textures, TEXTURES),
        ):
            if value not in known:
                raise ConfigurationError(f"{name}={value!r}: choose one of {', '.join(known)}")
        unknown = [name for name in self.categories if name not in CATEGORIES]
        if unknown or not self.categories or len(set(self.categories)) < len(self.categories):
            raise ConfigurationError(
                f"categories={self.categories}: give some of {', '.join(CATEGORIES)}, none of them twice"
            )


@dataclass(frozen=True)
class SceneCamera:
    """Pinhole camera.

    Attributes:
        intrinsics: (3, 3) float64, pixel centres at integers.
        pose: (4, 4) float64, world <- optical frame (x right, y down, z forward), metres.
    """

    intrinsics: np.ndarray
    pose: np.ndarray


@dataclass(frozen=True)
class Placed:
    """One object of a layout: its parts are turned by yaw about z and moved to (x, y, 0) in the world.

    Attributes:
        category: One of the household categories.
        colour: Name of its colour.
        parts: Primitives in the object's frame, m.
        corners: (parts, 8, 3) m, bounds of each part in the object's frame.
        x: m in the world.
        y: m in the world.
        yaw: Rotation about z, rad.
    """

    category: str
    colour: str
    parts: tuple[Part, ...]
    corners: np.ndarray  # (parts, 8, 3), bounds of each part in the object's frame
    x: float
    y: float
    yaw: float


@dataclass(frozen=True)
class Layout:
    """Everything that determines an image except its size and the moment.

    Attributes:
        seed: Seed of the scene.
        options: Options it was drawn with.
        objects: The objects with their places.
        eye: Distance (m), elevation, azimuth, roll and horizontal field of view (rad) of the camera.
        look_at: (x, y) m, the point of the table that the camera looks at.
        table: (8,) half sizes (m) and direction of the table, height of the floor (m), direction and distance (m) of
            the wall.
        grounds: (3, 9) texture, scale, seed and two linear RGB colours of table, floor and wall.
        light: (11,) direction, key colour, ambient colour, size and number of samples of the light.
        exposure: Factor of the image.
        noise: Amplitude of the image noise as a share of 255; noise grows in dark regions.
        blur: Sigma in px of an image 256 px wide.
    """

    seed: int
    options: SceneOptions
    objects: tuple[Placed, ...]
    eye: tuple[
        float, float, float, float, float
    ]  # distance m, elevation, azimuth, roll, horizontal field of view (rad)
    look_at: tuple[float, float]
    table: np.ndarray
    grounds: np.ndarray
    light: np.ndarray
    exposure: float
    noise: float
    blur: float


def camera_of(layout: Layout, height: int, width: int, swing: float = 0.0) -> SceneCamera:
    """Camera of a layout; `swing` (rad) moves it around the table."""
    distance, elevation, azimuth, roll, fov = layout.eye
    azimuth += swing
    away = np.array(
        [math.cos(elevation) * math.cos(azimuth), math.cos(elevation) * math.sin(azimuth), math.sin(elevation)]
    )
    forward = -away
    right = np.array([-math.sin(azimuth), math.cos(azimuth), 0.0])
    down = np.cross(forward, right)
    right, down = math.cos(roll) * right + math.sin(roll) * down, math.cos(roll) * down - math.sin(roll) * right
    pose = np.eye(4)
    pose[:3, 0], pose[:3, 1], pose[:3, 2] = right, down, forward
    pose[:3, 3] = np.array([*layout.look_at, 0.0]) + distance * away
    focal = 0.5 * width / math.tan(fov / 2)
    intrinsics = np.array([[focal, 0.0, (width - 1) / 2], [0.0, focal, (height - 1) / 2], [0.0, 0.0, 1.0]])
    return SceneCamera(intrinsics, pose)
