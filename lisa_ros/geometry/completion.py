"""The horizontal axes of a target on a support, and its hidden back, by symmetry.

An object that looks the same turned about a vertical axis gets the box of the whole turn. Otherwise the mirror plane
with most evidence gives the direction of the box and what it hides, where it is better than the smallest rectangle.
"""

from dataclasses import dataclass

import numpy as np

from lisa_ros.geometry.symmetry import CONFLICT, HIDDEN, MATCH, Evidence, mirrors, rotations
from lisa_ros.geometry.upright import plane_axes, rectangle_angle

_ANGLES = 36  # over half a turn
_OFFSETS = np.linspace(-0.16, 0.16, 7)  # of the width across the mirror plane, from its middle
_FINE_ANGLES, _FINE_OFFSETS = np.radians(np.arange(-4.0, 4.1, 1.0)), np.linspace(-0.04, 0.04, 5)
_DEPTHS = np.linspace(-0.10, 0.50, 16)  # of the visible length along the line of sight, from its middle
_SIDES = (-0.06, 0.0, 0.06)  # of the visible width across it
_MIRROR_CONFLICTS, _ROTATION_CONFLICTS = 0.06, 0.05
_BACKS = np.linspace(0.0, 0.4, 9)  # of the visible length, from its middle
_BACK_CONFLICTS, _BACK_KNOWN = 0.02, 0.95
_TURNS = np.pi / 2, -np.pi / 2, np.pi, np.pi / 4, -np.pi / 4  # a cube allows quarters, but no eighths
_ROTATION_MATCHES = 0.35
_RADIUS = 0.995  # share of the points within the circle around an axis of rotation
_LARGER = 1.25  # times the smallest rectangle, up to which a mirror plane may give the direction of the box
_BETTER = 0.08  # by which a mirror plane must beat the smallest rectangle's own


@dataclass(frozen=True)
class Outline:
    """horizontal: (3, 2) unit axes across the support's normal. low, high: (2,) m, the target's ends along them.

    points: (N, 3) m, seen and added. completed: some are added.
    """

    horizontal: np.ndarray
    low: np.ndarray
    high: np.ndarray
    points: np.ndarray
    completed: bool
    axis: np.ndarray | None = None

    @classmethod
    def around(cls, horizontal: np.ndarray, points: np.ndarray, completed: bool) -> "Outline":
        """The one that holds points (N, 3)."""
        along = points @ horizontal
        return cls(horizontal, along.min(axis=0), along.max(axis=0), points, completed)


def outline(points: np.ndarray, up: np.ndarray, evidence: Evidence) -> Outline:
    """points: (N, 3) m of the target, seen. up: (3,) normal of the support."""
    axis = rotation_axis(points, up, evidence)
    if axis is not None:
        return _turned(points, up, axis)
    plane = plane_axes(up)
    angle = rectangle_angle(points @ plane)
    normal, offset = _mirror_plane(points, plane, angle, evidence)
    everything = points
    if normal is None:
        horizontal = _axes_at(plane, angle)
    else:
        horizontal = np.column_stack([np.cross(normal, up), normal])
        everything = _with_mirrored(points, normal, offset, evidence)
    for axis in horizontal.T:
        everything = _with_back(everything, axis, evidence)
    grown = np.ptp(everything @ horizontal, axis=0) - np.ptp(points @ horizontal, axis=0)
    return Outline.around(horizontal, everything, bool(grown.max() > evidence.tolerance))


def _with_mirrored(points, normal, offset, evidence: Evidence) -> np.ndarray:
    turns, shifts = mirrors(normal[None], np.array([offset]))
    added = points @ turns[0].T + shifts[0]
    return np.concatenate([points, added[evidence.allowed(added)]])


def _with_back(points, axis, evidence: Evidence) -> np.ndarray:
    """The points and what lies behind the mirror plane across `axis` that fits best, if one fits."""
    along = points @ axis
    low, high = along.min(), along.max()
    if (low + high) < 0:  # away from the camera
        axis, low, high = -axis, -high, -low
    offsets = (low + high) / 2 + _BACKS * (high - low)
    shares = evidence.judge(*mirrors(np.repeat(axis[None], len(offsets), axis=0), offsets), _BACK_CONFLICTS)
    fits = (shares[:, CONFLICT] <= _BACK_CONFLICTS) & (shares[:, MATCH] + shares[:, HIDDEN] >= _BACK_KNOWN)
    scores = np.where(fits, _score(shares), -np.inf)
    best = int(scores.argmax())
    return _with_mirrored(points, axis, offsets[best], evidence) if fits[best] else points


def rotation_axis(points: np.ndarray, up: np.ndarray, evidence: Evidence) -> np.ndarray | None:
    """(3,) m on a vertical axis about which a target may be turned; None where what was seen forbids it."""
    away = points.mean(axis=0)
    away = away - up * (up @ away)
    if np.linalg.norm(away) < 1e-6:
        return None
    away /= np.linalg.norm(away)
    side = np.cross(up, away)
    along, across = points @ away, points @ side
    middle, length = (along.min() + along.max()) / 2, np.ptp(along)
    center, width = (across.min() + across.max()) / 2, np.ptp(across)
    depths, sides = np.meshgrid(middle + _DEPTHS * length, center + np.array(_SIDES) * width, indexing="ij")
    centers = depths.reshape(-1, 1) * away + sides.reshape(-1, 1) * side
    best = _best_axis(centers, up, evidence)
    if best is None:
        return None
    steps = np.linspace(-0.03, 0.03, 5)
    depths, sides = np.meshgrid(steps * length, steps * width, indexing="ij")
    return _best_axis(best + depths.reshape(-1, 1) * away + sides.reshape(-1, 1) * side, up, evidence)


def _best_axis(centers, up, evidence: Evidence) -> np.ndarray | None:
    match, worst = np.zeros(len(centers)), np.zeros(len(centers))
    for angle in _TURNS:
        possible = worst <= _ROTATION_CONFLICTS
        if not possible.any():
            return None
        shares = evidence.judge(*rotations(up, centers[possible], angle), _ROTATION_CONFLICTS)
        worst[possible] = np.maximum(worst[possible], shares[:, CONFLICT])
        if abs(angle) == np.pi / 2:
            match[possible] += shares[:, MATCH] / 2
    good = (worst <= _ROTATION_CONFLICTS) & (match >= _ROTATION_MATCHES)
    if not good.any():
        return None
    return centers[int(np.where(good, match - 2 * worst, -np.inf).argmax())]


def _turned(points, up, axis) -> Outline:
    """All of the turn: points at every quarter of it, and the circle that holds them."""
    away = points.mean(axis=0) - axis
    away = away - up * (up @ away)
    second = np.cross(up, away / np.linalg.norm(away))  # fingers close on both sides that were seen
    horizontal = np.column_stack([np.cross(second, up), second])
    offset = points - axis
    radius = float(np.quantile(np.linalg.norm(offset @ horizontal, axis=1), _RADIUS))
    turns, shifts = zip(*(rotations(up, axis[None], quarter * np.pi / 2) for quarter in range(4)), strict=True)
    everything = np.concatenate([points @ turn[0].T + shift[0] for turn, shift in zip(turns, shifts, strict=True)])
    middle = axis @ horizontal
    return Outline(horizontal, middle - radius, middle + radius, everything, True, axis)


def _mirror_plane(points, plane, rectangle: float, evidence: Evidence) -> tuple[np.ndarray | None, float]:
    """Normal and offset of the vertical mirror plane with most evidence; None where there is none to speak of."""
    angles = rectangle + np.arange(_ANGLES) * np.pi / _ANGLES  # the rectangle's own sides are among them
    normals, offsets, shares = _shares(points, plane, angles, _OFFSETS, evidence)
    scores = _score(shares).reshape(_ANGLES, -1)
    sides = scores[[0, _ANGLES // 2]]
    # The diagonal of a cube is a mirror plane too, but no side of its box.
    low, high = _ends(points, normals[:: len(_OFFSETS)])
    widths = high - low
    areas = widths * np.roll(widths, _ANGLES // 2)
    best = int(np.where(areas[:, None] <= _LARGER * areas.min(), scores, -np.inf).argmax())
    fine_angles = angles[best // len(_OFFSETS)] + _FINE_ANGLES
    normals, offsets, shares = _shares(points, plane, fine_angles, _FINE_OFFSETS, evidence, offsets[best])
    scores = np.where(shares[:, CONFLICT] <= _MIRROR_CONFLICTS, _score(shares), -np.inf)
    best = int(scores.argmax())
    if scores[best] < sides.max() + _BETTER:
        return None, 0.0
    return normals[best], float(offsets[best])


def _shares(points, plane, angles, fractions, evidence: Evidence, start: float | None = None):
    """Normals (K, 3), offsets (K,) and shares (K, 4) of `Evidence.judge` of mirror planes at all angles and offsets."""
    normals = np.column_stack([np.cos(angles), np.sin(angles)]) @ plane.T
    low, high = _ends(points, normals)
    middle = (low + high) / 2 if start is None else np.full(len(angles), start)
    offsets = (middle[:, None] + (high - low)[:, None] * fractions).ravel()
    normals = np.repeat(normals, len(fractions), axis=0)
    return normals, offsets, evidence.judge(*mirrors(normals, offsets))


def _ends(points: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Smallest and largest coordinates (K,) of points (N, 3) along directions (K, 3)."""
    along = directions @ points.T  # in rows, which numpy reduces several times as fast as columns
    return along.min(axis=1), along.max(axis=1)


def _score(shares: np.ndarray) -> np.ndarray:
    return shares[:, MATCH] + 0.5 * shares[:, HIDDEN] - 3 * shares[:, CONFLICT]


def _axes_at(plane: np.ndarray, angle: float) -> np.ndarray:
    return plane @ np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
