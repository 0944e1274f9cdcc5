"""Where objects stand: on the table, in view, and clear of each other. No pixels here."""

import math

import numpy as np

from lisa_ros.simulator.intersect import BOX
from lisa_ros.simulator.layout import Placed, camera_of
from lisa_ros.simulator.palette import sample_albedo
from lisa_ros.simulator.shapes import build

_GAP = 0.012  # m between footprints
_ATTEMPTS = 80


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


def place_objects(rng, layout, chosen, aspect):
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
