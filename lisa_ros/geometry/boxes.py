"""Oriented boxes of point sets, deterministic and right-handed, for flat and thin sets too."""

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
    """One face of the smallest box lies on a face of the convex hull: try them all, on the hull's outermost points.

    open3d's own search over the full hull takes minutes for the thousands of faces of a smooth object.
    """
    vertices, triangles = _coarse_hull(points)
    if not len(triangles):
        return _rectangle_axes(points, principal[2])
    corners = vertices[triangles]
    edges = np.roll(corners, -1, axis=1) - corners
    normals = np.cross(edges[:, 0], edges[:, 1])
    proper = np.linalg.norm(normals, axis=1) > 1e-12
    edges, normals = edges[proper], normals[proper]
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    first = edges / np.linalg.norm(edges, axis=2, keepdims=True)
    third = np.broadcast_to(normals[:, None], first.shape)
    frames = np.stack([first, np.cross(third, first), third], axis=-2)
    volumes = np.ptp(frames @ vertices.T, axis=-1).prod(axis=-1).min(axis=1)
    faces = np.argsort(volumes, kind="stable")[:_REFINED_FACES]
    candidates = [_rectangle_axes(vertices, normals[face]) for face in faces]
    return min(candidates, key=lambda axes: np.ptp(vertices @ axes, axis=0).prod())


def _coarse_hull(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (V, 3), triangles (F, 3) of the hull of points outermost in evenly spread directions; F = 0 if flat."""
    import open3d

    index = np.arange(_DIRECTIONS) + 0.5  # a Fibonacci spiral over half a sphere
    height, angle = 1 - index / _DIRECTIONS, index * np.pi * (3 - np.sqrt(5))
    radius = np.sqrt(1 - height**2)
    along = points @ np.stack([radius * np.cos(angle), radius * np.sin(angle), height])
    outermost = points[np.unique([along.argmax(axis=0), along.argmin(axis=0)])]
    try:
        hull, _ = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(outermost)).compute_convex_hull()
    except RuntimeError:  # Qhull refuses points that are in one plane to its own precision
        return outermost, np.empty((0, 3), dtype=int)
    return np.asarray(hull.vertices), np.asarray(hull.triangles)


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
