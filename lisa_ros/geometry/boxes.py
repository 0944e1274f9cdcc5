"""Smallest boxes of point sets in any attitude, deterministic and right-handed, for flat and thin sets too."""

import cv2
import numpy as np

# Spread along an axis below this is rounding or sensor quantisation, not shape.
_FLAT = 1e-4  # m
_DIRECTIONS = 128
_REFINED_FACES = 8


def oriented_box(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Box of (nearly) the smallest volume around points (N, 3), N >= 1, in m.

    Returns centre (3,), rotation (3, 3) whose columns are the axes, and extents (3,) as full lengths, longest first.
    The same points give the same box. Of the equivalent choices of sign the one is taken whose first two axes have
    their largest component positive; the third axis makes the frame right-handed.
    """
    points = np.asarray(points, dtype=np.float64)
    centred = points - points.mean(axis=0)
    _, _, principal = np.linalg.svd(centred.T @ centred)
    rank = int((np.ptp(centred @ principal.T, axis=0) > _FLAT).sum())
    if rank == 3:
        axes = _solid_axes(centred, principal)
    else:
        axes = _rectangle_axes(centred, principal[2]) if rank == 2 else principal.T
    return _canonical_box(points, axes)


def _solid_axes(points: np.ndarray, principal: np.ndarray) -> np.ndarray:
    """One face of the smallest box lies on a face of the convex hull: those that a plane from each direction meets."""
    outermost = _outermost(points)
    normals, edges = _hull_faces(outermost)
    if not len(normals):
        return _rectangle_axes(points, principal[2])
    frames = np.stack([edges, np.cross(normals, edges), normals], axis=1)
    volumes = np.ptp(frames @ outermost.T, axis=-1).prod(axis=-1)
    faces = np.argsort(volumes, kind="stable")[:_REFINED_FACES]
    candidates = [_rectangle_axes(outermost, normals[face]) for face in faces]
    return min(candidates, key=lambda axes: np.ptp(outermost @ axes, axis=0).prod())


def _outermost(points: np.ndarray) -> np.ndarray:
    """(M, 3) those of points (N, 3) that lie outermost in evenly spread directions, M <= 2 * _DIRECTIONS."""
    index = np.arange(_DIRECTIONS) + 0.5  # a Fibonacci spiral over half a sphere
    height, angle = 1 - index / _DIRECTIONS, index * np.pi * (3 - np.sqrt(5))
    radius = np.sqrt(1 - height**2)
    directions = np.stack([radius * np.cos(angle), radius * np.sin(angle), height])
    # Rows in float32: fifty times as fast as the columns of a float64 product.
    along = directions.T.astype(np.float32) @ np.ascontiguousarray(points.T, dtype=np.float32)
    return points[np.unique([along.argmax(axis=1), along.argmin(axis=1)])]


def _hull_faces(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit normals (F, 3) of faces of the convex hull of points (N, 3), and an edge (F, 3) of each.

    A plane that touches the hull is tilted over a point until it meets a second one, and over both until it meets a
    third one. Done from each point's own direction, to both sides, which finds every large face, and some of the small
    ones of smooth objects.
    """
    centred = points - points.mean(axis=0)
    outward = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    start = points[(outward @ points.T).argmax(axis=1)]
    axis = np.linalg.svd(outward[:, None])[2][:, 1]
    normal, second = _tilted(points, start, outward, axis)
    edge = second - start
    length = np.linalg.norm(edge, axis=1, keepdims=True)
    proper = length[:, 0] > _FLAT
    start, normal, edge = start[proper], normal[proper], edge[proper] / length[proper]
    found = [_tilted(points, start, normal, edge * sign)[0] for sign in (1.0, -1.0)]
    return np.concatenate(found), np.concatenate([edge, edge])


def _tilted(points, start, normal, axis) -> tuple[np.ndarray, np.ndarray]:
    """Planes through `start` with normals (M, 3), turned about an axis (M, 3) in them until they meet a point."""
    across = np.cross(normal, axis)
    offsets = points[None] - start[:, None]
    depth, reach = -np.einsum("mnk,mk->mn", offsets, normal), np.einsum("mnk,mk->mn", offsets, across)
    turn = np.arctan2(np.maximum(depth, 0.0), reach)
    turn[np.hypot(depth, reach) < _FLAT] = np.inf  # the axis' own points
    chosen = turn.argmin(axis=1)
    angle = turn[np.arange(len(start)), chosen][:, None]
    angle[~np.isfinite(angle)] = 0.0
    return np.cos(angle) * normal + np.sin(angle) * across, points[chosen]


def _rectangle_axes(points: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """(3, 3) axes as columns: those of the smallest rectangle around the points seen along `normal`, then `normal`."""
    _, _, basis = np.linalg.svd(normal[None])
    plane = basis[1:].T
    flat = (points - points.mean(axis=0)) @ plane
    # minAreaRect counts in pixels and float32: scaled so that its absolute thresholds are far below any sensor's noise.
    _, _, degrees = cv2.minAreaRect((flat * 1e4).astype(np.float32))
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.column_stack([plane @ [cos, sin], plane @ [-sin, cos], normal])


def _canonical_box(points: np.ndarray, axes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    axes = axes[:, np.argsort(-np.ptp(points @ axes, axis=0), kind="stable")]
    for column in range(2):
        axis = axes[:, column]
        axes[:, column] = axis * np.sign(axis[np.argmax(np.abs(axis))])
    axes[:, 2] = np.cross(axes[:, 0], axes[:, 1])
    local = points @ axes
    low, high = local.min(axis=0), local.max(axis=0)
    return axes @ ((low + high) / 2), axes, high - low
