"""Oriented boxes and the exact volume that two of them share."""

from dataclasses import dataclass

import numpy as np

_FACES = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))  # corners, by their bits
_TOUCHING = 1e-12  # m: what is nearer to a face than this is on it
_THIN = 1e-4  # m: a box without thickness gets this one, so that it has a volume to compare
NEAR = 0.012  # m of centre and of size, with YAW: what counts as within
YAW = 12.0  # degrees
FOREIGN = 0.010  # m: a point farther than this outside of the true box is another thing's
ELONGATED = 1.25  # ratio of the true horizontal extents from which there is a yaw to speak of


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


@dataclass(frozen=True)
class BoxErrors:
    """One target's box by one method; all but iou, within, points and foreign are NaN where there is no box.

    iou: of volumes. width_mm, length_mm, height_mm: signed errors of the shorter and the longer horizontal extent and
    of the vertical one. center_mm: distance of the centres. tilt_deg: of the axis that is nearest to the vertical.
    yaw_deg: 0 to 90, of the longer horizontal axis; NaN too where the true extents are alike. points, foreign: numbers.
    completed: the back was added by symmetry.
    """

    iou: float = 0.0
    width_mm: float = float("nan")
    length_mm: float = float("nan")
    height_mm: float = float("nan")
    center_mm: float = float("nan")
    tilt_deg: float = float("nan")
    yaw_deg: float = float("nan")
    points: int = 0
    foreign: int = 0
    completed: bool = False

    @property
    def found(self) -> bool:
        """Whether there is a box."""
        return not np.isnan(self.center_mm)

    @property
    def within(self) -> bool:
        """Whether centre, every extent and the yaw (where there is one) are near enough to the truth."""
        errors = np.abs([self.center_mm, self.width_mm, self.length_mm, self.height_mm])
        return bool((errors <= 1000 * NEAR).all() and not self.yaw_deg > YAW)


def box_errors(box: OrientedBox, points: np.ndarray, truth: OrientedBox, completed: bool = False) -> BoxErrors:
    """box, points (N, 3) m: in the world. truth: upright, axis 0 the longer horizontal one."""
    vertical = int(np.abs(box.axes[2]).argmax())
    first, second = sorted((axis for axis in range(3) if axis != vertical), key=lambda axis: -box.extents[axis])
    width, length, height = (
        1000 * float(box.extents[mine] - truth.extents[true]) for mine, true in ((second, 1), (first, 0), (vertical, 2))
    )
    outside = np.abs((points - truth.center) @ truth.axes) > truth.extents / 2 + FOREIGN
    return BoxErrors(
        iou=box_iou(truth, box),
        width_mm=width,
        length_mm=length,
        height_mm=height,
        center_mm=1000 * float(np.linalg.norm(box.center - truth.center)),
        tilt_deg=float(np.degrees(np.arccos(min(1.0, abs(box.axes[2, vertical]))))),
        yaw_deg=_yaw(box.axes[:, first], truth),
        points=len(points),
        foreign=int(outside.any(axis=1).sum()),
        completed=completed,
    )


def _yaw(axis: np.ndarray, truth: OrientedBox) -> float:
    if truth.extents[0] < ELONGATED * truth.extents[1]:
        return float("nan")
    turn = np.arctan2(axis[1], axis[0]) - np.arctan2(truth.axes[1, 0], truth.axes[0, 0])
    return abs((np.degrees(float(turn)) + 90) % 180 - 90)
