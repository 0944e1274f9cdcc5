"""Oriented boxes and the exact volume that two of them share."""

from dataclasses import dataclass

import numpy as np

_FACES = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))  # corners, by their bits
_TOUCHING = 1e-12  # m: what is nearer to a face than this is on it
_THIN = 1e-4  # m: a box without thickness gets this one, so that it has a volume to compare


@dataclass(frozen=True)
class OrientedBox:
    """center (3,) m; axes (3, 3), unit columns; extents (3,) m, full lengths along them."""

    center: np.ndarray
    axes: np.ndarray
    extents: np.ndarray

    def corners(self) -> np.ndarray:
        """(8, 3) m; bits 4, 2, 1 of the index choose the far side along axis 0, 1, 2."""
        signs = np.array([[(i >> 2) & 1, (i >> 1) & 1, i & 1] for i in range(8)]) - 0.5
        return self.center + (signs * np.maximum(self.extents, _THIN)) @ self.axes.T

    @property
    def volume(self) -> float:
        """m³."""
        return float(np.maximum(self.extents, _THIN).prod())


def box_iou(first: OrientedBox, second: OrientedBox) -> float:
    """Volume of the intersection over that of the union, 0 to 1, exact for boxes that are turned in any way."""
    shared = intersection_volume(first, second)
    return shared / (first.volume + second.volume - shared)


def intersection_volume(first: OrientedBox, second: OrientedBox) -> float:
    """m³; the first box is cut along the six faces of the second one."""
    corners = (first.corners() - second.center) @ second.axes  # second is upright and at the origin
    half = np.maximum(second.extents, _THIN) / 2
    faces = [corners[list(face)] for face in _FACES]
    for axis in range(3):
        for sign in (1.0, -1.0):
            faces = _cut(faces, axis, sign, half[axis])
            if not faces:
                return 0.0
    return _volume(faces)


def _cut(faces: list[np.ndarray], axis: int, sign: float, limit: float) -> list[np.ndarray]:
    """A convex body, as polygons (K, 3), where sign * x[axis] <= limit."""
    kept, rim = [], []
    for face in faces:
        beyond = _beyond(face, axis, sign, limit)
        polygon = []
        for point, after, d, e in zip(face, np.roll(face, -1, axis=0), beyond, np.roll(beyond, -1), strict=True):
            if d <= 0:
                polygon.append(point)
            if (d < 0 < e) or (e < 0 < d):
                polygon.append(point + (after - point) * (d / (d - e)))
        if len(polygon) >= 3:
            kept.append(np.array(polygon))
            rim += [p for p in polygon if abs(sign * p[axis] - limit) <= _TOUCHING]
    if any((_beyond(face, axis, sign, limit) > 0).any() for face in faces) and len(rim) >= 3:
        kept.append(_in_order(np.array(rim), axis))
    return kept


def _beyond(face: np.ndarray, axis: int, sign: float, limit: float) -> np.ndarray:
    away = sign * face[:, axis] - limit
    return np.where(np.abs(away) <= _TOUCHING, 0.0, away)


def _in_order(points: np.ndarray, axis: int) -> np.ndarray:
    """Corners (K, 3) of a convex polygon across `axis`, in their order around it."""
    flat = np.delete(points - points.mean(axis=0), axis, axis=1)
    return points[np.argsort(np.arctan2(flat[:, 1], flat[:, 0]))]


def _volume(faces: list[np.ndarray]) -> float:
    """m³ of a convex body: pyramids over its faces from a point inside, whatever the faces' sense of rotation."""
    inside = np.concatenate(faces).mean(axis=0)
    total = 0.0
    for face in faces:
        fan = face - inside
        total += sum(abs(np.linalg.det(np.stack([fan[0], fan[i], fan[i + 1]]))) for i in range(1, len(fan) - 1)) / 6
    return float(total)
