"""Planes of a scene by RANSAC, with or without gravity. Optical frame, m."""

from dataclasses import dataclass

import numpy as np

from lisa_ros.geometry.report import SupportPlane

_HYPOTHESES = 160
_POOL, _NEAR = 100, 12
_SCORED = 1000  # points on which hypotheses are compared
_MIN_SHARE = 0.04  # of the points: fewer are no plane
_MAX_PLANES = 5
_GRAVITY = np.cos(np.radians(15.0))  # TF and a robot's calibration may be off by some degrees
_REFINEMENTS = 3


@dataclass(frozen=True)
class FoundPlane:
    """plane: its normal points towards the camera. share: of the points that were looked at, those that lie on it.

    likelihood: 0 to 1, whether it is level.
    """

    plane: SupportPlane
    share: float
    likelihood: float = 1.0


def distance_limit(depth: np.ndarray | float, noise: float) -> np.ndarray | float:
    """How far from a plane a point of this depth, in m, may lie and still be of it."""
    return 0.003 + 2.5 * noise * np.square(depth)


def find_planes(points: np.ndarray, noise: float, up: np.ndarray | None = None) -> list[FoundPlane]:
    """The planes on which most of points (N, 3) lie, largest first; with `up` (3,) only level ones.

    noise: standard deviation of depth at 1 m, in m. Each plane takes its points with it before the next one is looked
    for. The same points give the same planes.
    """
    rng = np.random.default_rng(0)
    limits = distance_limit(points[:, 2], noise)
    left = np.arange(len(points))
    least = max(12, _MIN_SHARE * len(points))
    found = []
    while len(found) < _MAX_PLANES and len(left) >= least:
        plane = _best_plane(points[left], limits[left], rng, up)
        if plane is None:
            break
        on = np.abs(plane.height(points[left])) < limits[left]
        if on.sum() < least:
            break
        found.append(FoundPlane(plane, float(on.sum() / len(points))))
        # What is within twice the limit is the same surface's noise, not another plane.
        left = left[np.abs(plane.height(points[left])) >= 2 * limits[left]]
    return found


def _best_plane(points, limits, rng, up) -> SupportPlane | None:
    normals, offsets = _hypotheses(points, rng, up)
    if not len(normals):
        return None
    some = rng.permutation(len(points))[:_SCORED]
    away = np.abs(points[some].astype(np.float32) @ normals.T.astype(np.float32) - offsets.astype(np.float32))
    best = int((away < limits[some, None]).sum(axis=0).argmax())
    plane = SupportPlane(normals[best], float(offsets[best]))
    for _ in range(_REFINEMENTS):
        on = points[np.abs(plane.height(points)) < limits]
        if len(on) < 3:
            return None
        fitted = fit_plane(on)
        if up is not None and fitted.normal @ up < _GRAVITY:
            return plane
        plane = fitted
    return plane


def _hypotheses(points, rng, up) -> tuple[np.ndarray, np.ndarray]:
    """Normals (M, 3) towards the camera and offsets (M,) of planes through three points each, near and far ones."""
    first, second, third = rng.integers(len(points), size=(3, _HYPOTHESES))
    pool = rng.permutation(len(points))[:_POOL]
    if len(pool) == _POOL:  # small planes are hit by points that are near each other
        half = _HYPOTHESES // 2
        distance = np.square(points[first[:half], None] - points[None, pool]).sum(axis=-1)
        near = pool[np.argpartition(distance, _NEAR, axis=1)[:, :_NEAR]]
        pick = rng.integers(_NEAR, size=(2, half))
        second[:half], third[:half] = (near[np.arange(half), one] for one in pick)
    a, b, c = points[first], points[second], points[third]
    normals = np.cross(b - a, c - a)
    length = np.linalg.norm(normals, axis=1)
    proper = length > 1e-9
    normals, a = normals[proper] / length[proper, None], a[proper]
    offsets = (normals * a).sum(axis=1)
    flip = np.where(offsets > 0, -1.0, 1.0)  # the camera is at the origin, on the upper side
    normals, offsets = normals * flip[:, None], offsets * flip
    if up is not None:
        level = normals @ up > _GRAVITY
        normals, offsets = normals[level], offsets[level]
        heights = points[first] @ up
        below = heights < 0
        normals = np.concatenate([normals, np.broadcast_to(up, (int(below.sum()), 3))])
        offsets = np.concatenate([offsets, heights[below]])
    return normals, offsets


def fit_plane(points: np.ndarray) -> SupportPlane:
    """Least squares through points (N, 3), N >= 3; the normal points towards the camera at the origin."""
    center = points.mean(axis=0)
    centred = points - center
    normal = np.linalg.svd(centred.T @ centred)[2][2]
    if normal @ center > 0:
        normal = -normal
    return SupportPlane(normal, float(normal @ center))
