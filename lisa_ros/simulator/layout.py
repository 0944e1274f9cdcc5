"""What stands where: draws the objects, the camera, the light and the room of one scene from a seed. No pixels here."""

import colorsys
import math
from dataclasses import dataclass, replace

import numpy as np

from lisa_ros.errors import ConfigurationError
from lisa_ros.simulator.intersect import BOX
from lisa_ros.simulator.palette import colours_of, sample_albedo
from lisa_ros.simulator.parts import Part
from lisa_ros.simulator.shapes import CATEGORIES, build

MAX_OBJECTS = 15
_GAP = 0.012  # m between footprints
_ATTEMPTS = 80
_DRAWS = 100
_ELEVATION = {
    "default": (28.0, 60.0),
    "low": (17.0, 26.0),
    "high": (62.0, 80.0),
}  # of the camera over the table, degrees
_TEXTURES = {"seen": (0, 1, 1, 2, 3, 4, 5), "unseen": (6, 7, 8, 9)}


@dataclass(frozen=True)
class SceneOptions:
    """How scenes are drawn.

    objects: fewest and most objects (1..15). Where no room is left, fewer than were drawn, but never fewer than these.
    camera: elevation "default", "low", "high", or "other" (low or high).
    textures: of the grounds, "seen" (training) or "unseen".
    noise: multiplies the sensor noise. blur: added Gaussian sigma in pixels of a 256-wide image.
    repeats: share of scenes with several objects of one category.
    """

    objects: tuple[int, int] = (3, 9)
    camera: str = "default"
    textures: str = "seen"
    noise: float = 1.0
    blur: float = 0.0
    repeats: float = 0.45

    def __post_init__(self):
        low, high = self.objects
        if not 1 <= low <= high <= MAX_OBJECTS:
            raise ConfigurationError(f"objects={self.objects}: give (fewest, most) within 1..{MAX_OBJECTS}")
        for name, value, known in (
            ("camera", self.camera, (*_ELEVATION, "other")),
            ("textures", self.textures, _TEXTURES),
        ):
            if value not in known:
                raise ConfigurationError(f"{name}={value!r}: choose one of {', '.join(known)}")


@dataclass(frozen=True)
class SceneCamera:
    """Pinhole camera.

    intrinsics: (3, 3) float64, pixel centres at integers. pose: (4, 4) float64, world <- optical frame (x right,
    y down, z forward), metres.
    """

    intrinsics: np.ndarray
    pose: np.ndarray


@dataclass(frozen=True)
class Placed:
    """One object of a layout: parts in its own frame, turned by yaw (rad) about z and moved to (x, y, 0) world m."""

    category: str
    colour: str
    parts: tuple[Part, ...]
    corners: np.ndarray  # (parts, 8, 3), bounds of each part in the object's frame
    x: float
    y: float
    yaw: float


@dataclass(frozen=True)
class Layout:
    """Everything that determines an image except its size and the moment."""

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


def sample_layout(seed: int, options: SceneOptions, aspect: float = 0.75) -> Layout:
    """Draws a layout, and draws it anew where the objects that found a place are too few.

    Args:
        seed: Whole number of at least 0.
        options: How it is drawn.
        aspect: Height / width of the image that it is made for.

    Raises:
        ConfigurationError: If the fewest objects do not fit into an image of that shape, in any of many draws.
    """
    for draw in range(_DRAWS):
        # The first draw of a seed is that of all versions: data sets and models name scenes by their seeds.
        layout = _draw_layout(np.random.default_rng((seed, draw) if draw else seed), seed, options, aspect)
        if len(layout.objects) >= options.objects[0]:
            return layout
    raise ConfigurationError(
        f"no scene of seed {seed} has room for {options.objects[0]} objects in an image {aspect:.2g} times as high as "
        "wide; ask for fewer, or for an image that is less narrow"
    )


def _draw_layout(rng: np.random.Generator, seed: int, options: SceneOptions, aspect: float) -> Layout:
    count = int(rng.integers(options.objects[0], options.objects[1] + 1))
    room = _sample_room(rng, options)
    camera = ("low", "high")[rng.integers(2)] if options.camera == "other" else options.camera
    elevation = math.radians(rng.uniform(*_ELEVATION[camera]))
    distance = rng.uniform(0.6, 0.95) * (1.0 + 0.035 * max(0, count - 5))
    eye = (
        distance,
        elevation,
        rng.uniform(-math.pi, math.pi),
        rng.normal(0.0, 0.03),
        math.radians(rng.uniform(44.0, 60.0)),
    )
    layout = Layout(seed, options, (), eye, (rng.uniform(-0.05, 0.05), rng.uniform(-0.05, 0.05)), *room)
    return replace(layout, objects=_place(rng, layout, _choose(rng, count, options.repeats), aspect))


def _choose(rng, count, repeats):
    """(category, colour, size factor) of each object."""
    repeated = int(rng.integers(2, min(4, count) + 1)) if count >= 2 and rng.random() < repeats else 0
    order = list(rng.permutation(CATEGORIES))
    chosen = []
    same = rng.random() < 0.25
    first = rng.choice(colours_of(order[0]))
    for _ in range(repeated):
        colour = first if same else rng.choice(colours_of(order[0]))
        chosen.append((str(order[0]), str(colour), rng.uniform(0.75, 1.3)))
    for category in order[1 : count - repeated + 1]:
        chosen.append((str(category), str(rng.choice(colours_of(category))), rng.uniform(0.92, 1.18)))
    return [chosen[i] for i in rng.permutation(len(chosen))]


def _footprint(parts, corners):
    """Capsule on the table in the object's frame and its height: (x0, x1, radius, top)."""
    (x_low, y_low, _), (x_high, y_high, top) = corners.min((0, 1)).tolist(), corners.max((0, 1)).tolist()
    radius = max(-y_low, y_high)
    x0, x1 = x_low + radius, x_high - radius
    if x0 > x1:
        x0 = x1 = (x0 + x1) / 2
    square = [i for i, part in enumerate(parts) if part.kind == BOX]
    if square:  # the corners of a box reach beyond the capsule's round ends
        reach = corners[square]
        past = np.maximum(0.0, np.maximum(x0 - reach[..., 0], reach[..., 0] - x1))
        radius = max(radius, float(np.hypot(past, reach[..., 1]).max()))
    return x0, x1, radius, top


def _resized(part, factor):
    part.centre = tuple(factor * c for c in part.centre)
    part.scale = tuple(factor * s for s in part.scale)
    return part


def _place(rng, layout, chosen, aspect):
    """Puts objects where they are in view, on the table, and clear of each other."""
    camera = camera_of(layout, 1000 * aspect, 1000.0)
    view = (
        camera.pose[:3, :3].tolist(),
        camera.pose[:3, 3].tolist(),
        float(camera.intrinsics[0, 0]),
        500.0,
        500.0 * aspect,
    )
    table = layout.table.tolist()
    placed, taken = [], []
    for category, colour, factor in chosen:
        albedo = sample_albedo(category, colour, rng)
        parts = tuple(_resized(part, factor) for part in build(category, albedo, rng))
        corners = np.array([part.corners() for part in parts])
        x0, x1, radius, top = _footprint(parts, corners)
        for yaw, u, v in rng.uniform((-math.pi, -0.84, -0.8), (math.pi, 0.84, 0.86), (_ATTEMPTS, 3)).tolist():
            spot = _table_point(view, u, v)
            if spot is None:
                continue
            x, y = spot
            c, s = math.cos(yaw), math.sin(yaw)
            capsule = (x + x0 * c, y + x0 * s, x + x1 * c, y + x1 * s, radius)
            if (
                _on_table(table, capsule)
                and all(_separation(capsule, other) > _GAP for other in taken)
                and _in_view(view, capsule, top)
            ):
                taken.append(capsule)
                placed.append(Placed(category, colour, parts, corners, x, y, yaw))
                break
    return tuple(placed)


def _table_point(view, u, v):
    """Where the ray through a point of the image (-1..1 from edge to edge) meets the table; None if it does not."""
    rotation, origin, focal, half_width, half_height = view
    x, y = u * half_width / focal, v * half_height / focal
    dx, dy, dz = (row[0] * x + row[1] * y + row[2] for row in rotation)
    if dz > -0.05 or -origin[2] / dz > 2.0:
        return None
    return origin[0] - origin[2] / dz * dx, origin[1] - origin[2] / dz * dy


def _on_table(table, capsule):
    for x, y in (capsule[:2], capsule[2:4]):
        if (
            abs(x * table[2] + y * table[3]) > table[0] - capsule[4]
            or abs(y * table[2] - x * table[3]) > table[1] - capsule[4]
        ):
            return False
    return True


def _in_view(view, capsule, top):
    """Whether nearly all of an object is inside the image."""
    rotation, origin, focal, half_width, half_height = view
    for x, y in (capsule[:2], capsule[2:4]):
        for z in (0.0, top):
            ex, ey, ez = x - origin[0], y - origin[1], z - origin[2]
            right, down, ahead = (rotation[0][i] * ex + rotation[1][i] * ey + rotation[2][i] * ez for i in range(3))
            if ahead < 0.2:
                return False
            reach = 0.7 * capsule[4]
            if (abs(right) + reach) * focal > half_width * ahead or (
                abs(down) + reach * 0.5
            ) * focal > half_height * ahead:
                return False
    return True


def _separation(a, b):
    """Gap (m) between two capsules (x0, y0, x1, y1, radius) on the table, or a lower bound of it that is positive."""
    apart = math.hypot(a[0] + a[2] - b[0] - b[2], a[1] + a[3] - b[1] - b[3]) - math.hypot(a[2] - a[0], a[3] - a[1])
    bound = (apart - math.hypot(b[2] - b[0], b[3] - b[1])) / 2 - a[4] - b[4]
    if bound > _GAP:
        return bound
    if _cross(a, b):
        return -1.0
    nearest = min(
        _to_segment(a[0], a[1], b), _to_segment(a[2], a[3], b), _to_segment(b[0], b[1], a), _to_segment(b[2], b[3], a)
    )
    return nearest - a[4] - b[4]


def _to_segment(x, y, s):
    dx, dy = s[2] - s[0], s[3] - s[1]
    length = dx * dx + dy * dy
    share = 0.0 if length < 1e-12 else min(1.0, max(0.0, ((x - s[0]) * dx + (y - s[1]) * dy) / length))
    return math.hypot(x - s[0] - share * dx, y - s[1] - share * dy)


def _cross(a, b):
    def side(s, x, y):
        return (s[2] - s[0]) * (y - s[1]) - (s[3] - s[1]) * (x - s[0])

    return side(a, b[0], b[1]) * side(a, b[2], b[3]) < 0 and side(b, a[0], a[1]) * side(b, a[2], a[3]) < 0


def _rgb(hue, saturation, value):
    return colorsys.hsv_to_rgb(hue % 1.0, saturation, value)


def _ground_colours(rng, texture):
    """Two related colours of a ground, linear RGB."""
    if texture in (1, 4) and rng.random() < 0.85:
        hue, saturation, value = rng.uniform(0.05, 0.1), rng.uniform(0.35, 0.75), rng.uniform(0.12, 0.6)
    else:
        hue, saturation, value = rng.random(), rng.random() ** 2 * 0.6, rng.uniform(0.08, 0.75)
    other = value * rng.uniform(0.45, 0.85) if rng.random() < 0.6 else min(0.85, value * rng.uniform(1.2, 1.8))
    return [*_rgb(hue, saturation, value), *_rgb(hue + rng.normal(0.0, 0.03), saturation, other)]


def _sample_room(rng, options):
    """table, grounds, light, exposure, noise, blur of a Layout."""
    yaw, wall = rng.uniform(-math.pi, math.pi), rng.uniform(-math.pi, math.pi)
    table = np.array([
        rng.uniform(0.5, 1.1), rng.uniform(0.45, 0.8), math.cos(yaw), math.sin(yaw), -rng.uniform(0.6, 0.9),
        math.cos(wall), math.sin(wall), rng.uniform(1.6, 3.5),
    ])  # fmt: skip
    grounds = np.empty((3, 9))
    for i, scale in enumerate(((5.0, 16.0), (1.5, 5.0), (0.8, 3.0))):
        texture = int(rng.choice(_TEXTURES[options.textures]))
        grounds[i] = [texture, rng.uniform(*scale), rng.integers(1, 10000), *_ground_colours(rng, texture)]
    elevation, azimuth = math.radians(rng.uniform(38.0, 80.0)), rng.uniform(-math.pi, math.pi)
    direction = [math.cos(elevation) * math.cos(azimuth), math.cos(elevation) * math.sin(azimuth), math.sin(elevation)]
    warmth = rng.normal(0.0, 0.06)
    key, ambient = rng.uniform(0.5, 0.95), rng.uniform(0.3, 0.6)
    soft = rng.random() < 0.6
    light = np.array([
        *direction, key * (1 + warmth), key, key * (1 - warmth),
        ambient * (1 - warmth / 2), ambient, ambient * (1 + warmth / 2),
        rng.uniform(0.03, 0.12) if soft else 0.0, 4.0 if soft else 1.0,
    ])  # fmt: skip
    noise = options.noise * rng.uniform(0.3, 1.0) * 0.018
    blur = math.hypot(options.blur, rng.uniform(0.4, 0.8) if rng.random() < 0.6 else 0.0)
    return table, grounds, light, rng.uniform(0.75, 1.15), noise, blur
