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
_SIDES = (-0.14, -0.06, 0.0, 0.06, 0.14)  # of the visible width across it; the outer ones for a part on one side
_MIRROR_CONFLICTS, _ROTATION_CONFLICTS = 0.06, 0.05
_BACKS = np.linspace(0.0, 0.4, 9)  # of the visible length, from its middle
_BACK_CONFLICTS, _BACK_KNOWN = 0.02, 0.95
_TURNS = np.pi / 2, -np.pi / 2, np.pi, np.pi / 4, -np.pi / 4  # a cube allows quarters, but no eighths
_ROTATION_MATCHES = 0.35
_PART_CONFLICTS = 0.25  # like the former, with those of a part that sticks out on one side
_ONE_SIDE = 0.85  # length of the mean of unit vectors from the axis to the points of such a part
_STICKS_OUT = 0.01  # share of the points outside of the circle that are a part, not noise
_RADIUS = 0.995  # share of the points within the circle around an axis of rotation
_MOST_GROWTH = 1.6  # times the width that was seen; what needs more to be symmetric is not
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

    @classmethod
    def around(cls, horizontal: np.ndarray, points: np.ndarray, completed: bool) -> "Outline":
        """The one that holds points (N, 3)."""
        along = points @ horizontal
        return cls(horizontal, along.min(axis=0), along.max(axis=0), points, completed)


def outline(points: np.ndarray, up: np.ndarray, evidence: Evidence) -> Outline:
    """points: (N, 3) m of the target, seen. up: (3,) normal of the support."""
    axis = rotation_axis(points, up, evidence)
    whole_turn = None if axis is None else _turned(points, up, axis, evidence)
    if whole_turn is not None:
        return whole_turn
    plane = plane_axes(up)
    angle = rectangle_angle(points @ plane)
    rectangle = horizontal = _axes_at(plane, angle)
    normal, offset = _mirror_plane(points, plane, angle, evidence)
    everything = points
    if normal is not None:
        horizontal = np.column_stack([np.cross(normal, up), normal])
        everything = _with_mirrored(points, normal, offset, evidence)
    for axis in horizontal.T:
        everything = _with_back(everything, axis, evidence)
    if _size(everything, horizontal).min() > _MOST_GROWTH * _size(points, rectangle).min():
        horizontal, everything = rectangle, points
    grown = _size(everything, horizontal) - _size(points, horizontal)
    return Outline.around(horizontal, everything, bool(grown.max() > evidence.tolerance))


def _size(points: np.ndarray, horizontal: np.ndarray) -> np.ndarray:
    """(2,) m: lengths of points (N, 3) along axes (3, 2)."""
    return np.ptp(points @ horizontal, axis=0)


def _with_mirrored(points, normal, offset, evidence: Evidence) -> np.ndarray:
    added = _moved(points, mirrors(normal[None], np.array([offset])))
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
        possible = worst <= _PART_CONFLICTS
        if not possible.any():
            return None
        shares = evidence.judge(*rotations(up, centers[possible], angle), _PART_CONFLICTS)
        worst[possible] = np.maximum(worst[possible], shares[:, CONFLICT])
        if abs(angle) == np.pi / 2:
            match[possible] += shares[:, MATCH] / 2
    good = (worst <= _PART_CONFLICTS) & (match >= _ROTATION_MATCHES)
    if not good.any():
        return None
    return centers[int(np.where(good, match - 2 * worst, -np.inf).argmax())]


def _turned(points, up, axis, evidence: Evidence) -> Outline | None:
    """All of the turn: points at every quarter of it, and the circle that holds them, with what sticks out of it.

    A mug's handle cannot be turned: where it was seen, it makes the box longer on its own side. None where more than
    one part on one side forbids the turn.
    """
    flat = points - axis
    flat = flat - np.outer(flat @ up, up)
    radii = np.linalg.norm(flat, axis=1)
    turned = (_moved(points, rotations(up, axis[None], angle)) for angle in _TURNS)
    conflicts = ~np.array([evidence.allowed(one) for one in turned])
    round_ = ~conflicts.any(axis=0)
    if not round_.any():
        return None
    radius = float(np.quantile(radii[round_], _RADIUS))
    out = ~round_ & (radii > radius + evidence.tolerance)
    sticks_out = out.mean() > _STICKS_OUT
    if not sticks_out:
        out[:] = False
        radius = float(np.quantile(radii, _RADIUS))
    elif np.linalg.norm((flat[out] / radii[out, None]).mean(axis=0)) < _ONE_SIDE:
        return None
    if (conflicts & ~out).mean(axis=1).max() > _ROTATION_CONFLICTS:
        return None
    away = flat[out].mean(axis=0) if sticks_out else flat.mean(axis=0)
    first = away / np.linalg.norm(away)
    horizontal = np.column_stack([first, np.cross(up, first)])  # fingers close across what sticks out, or was seen
    quarters = [_moved(points[~out], rotations(up, axis[None], quarter * np.pi / 2)) for quarter in range(4)]
    everything = np.concatenate([*quarters, points[out]])
    middle = axis @ horizontal
    ends = np.concatenate([(middle - radius)[None], (middle + radius)[None], points[out] @ horizontal])
    return Outline(horizontal, ends.min(axis=0), ends.max(axis=0), everything, True)


def _moved(points: np.ndarray, motion: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """points: (N, 3) m. motion: one, as `rotations` and `mirrors` give it."""
    turns, shifts = motion
    return points @ turns[0].T + shifts[0]


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
