"""Mirror planes and axes of rotation of an object seen from one side, and the back that they let one add.

A symmetry is judged by what the camera would have seen: each point of the target, once mirrored, falls on the seen
surface (a match), behind something (hidden, possible), or into space that was seen to be free (a conflict).
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numba import njit

from lisa_ros.geometry.cleaning import CleanTarget, View
from lisa_ros.geometry.planes import distance_limit

_SAMPLES = 300
_JIT = {"cache": True, "nogil": True, "error_model": "numpy"}
MATCH, HIDDEN, CONFLICT, UNKNOWN = 0, 1, 2, 3


@dataclass(frozen=True)
class Evidence:
    """What the camera saw of a target and around it.

    depth: (h, w) float32 m, 0 = none, less noisy on the target. inside: (h, w) bool, the target's pixels and one around
    them. camera: (fx, fy, cx, cy). points: (N, 3) m, some of the target's. tolerance: m.
    """

    depth: np.ndarray
    inside: np.ndarray
    camera: tuple[float, float, float, float]
    points: np.ndarray
    tolerance: float

    @classmethod
    def of(cls, target: CleanTarget, points: np.ndarray, view: View) -> "Evidence":
        """points: (M, 3) m, of the target."""
        margin = 8 + int(0.5 * np.sqrt(target.mask.sum()))
        height, width = view.depth.shape
        rows, columns = target.box
        rows = slice(max(0, rows.start - margin), min(height, rows.stop + margin))
        columns = slice(max(0, columns.start - margin), min(width, columns.stop + margin))
        own = (
            slice(target.box[0].start - rows.start, target.box[0].stop - rows.start),
            slice(target.box[1].start - columns.start, target.box[1].stop - columns.start),
        )
        depth = np.where(view.valid[rows, columns], view.depth[rows, columns], np.float32(0))
        depth[own][target.kept] = target.depth[target.kept]
        inside = np.zeros(depth.shape, np.uint8)
        inside[own] = target.mask
        inside = cv2.dilate(inside, np.ones((3, 3), np.uint8)).astype(bool)
        model = view.camera
        camera = (model.fx, model.fy, model.cx - columns.start, model.cy - rows.start)
        some = np.random.default_rng(0).permutation(len(points))[:_SAMPLES]
        z = float(np.median(points[:, 2]))
        return cls(depth, inside, camera, points[some], float(distance_limit(z, view.noise)))

    def judge(self, turns: np.ndarray, shifts: np.ndarray, most_conflicts: float = 1.0) -> np.ndarray:
        """(K, 4) shares of the points that match, are hidden, conflict and are unknown, moved by each of K motions.

        turns: (K, 3, 3), shifts: (K, 3) m; a point p goes to turn @ p + shift. most_conflicts: a motion is given up
        once its share of conflicts is larger; its shares then are those of the points looked at until then.
        """
        most = most_conflicts * len(self.points)
        counts = _judge(self.points, turns, shifts, self.depth, self.inside, self.camera, self.tolerance, most)
        return counts / max(1, len(self.points))

    def allowed(self, points: np.ndarray) -> np.ndarray:
        """(N,) bool: which of points (N, 3) conflict with nothing that was seen."""
        return _kinds(points, self.depth, self.inside, self.camera, self.tolerance) != CONFLICT


@njit(**_JIT)
def _kind(x, y, z, depth, inside, camera, tolerance):
    fx, fy, cx, cy = camera
    height, width = depth.shape
    if z <= 0.05:
        return UNKNOWN
    u, v = int(np.rint(x / z * fx + cx)), int(np.rint(y / z * fy + cy))
    if not (1 <= u < width - 1 and 1 <= v < height - 1):
        return UNKNOWN
    if not inside[v, u]:
        if depth[v, u] <= 0.0:
            return UNKNOWN
        return HIDDEN if z > depth[v, u] + tolerance else CONFLICT
    seen, nearest, match = False, 1e30, False
    for dv in range(-1, 2):
        for du in range(-1, 2):
            there = depth[v + dv, u + du]
            if there > 0.0 and inside[v + dv, u + du]:
                seen = True
                nearest = min(nearest, there)
                if abs(z - there) <= tolerance:
                    match = True
    if match:
        return MATCH
    if not seen:
        return UNKNOWN
    return CONFLICT if z < nearest - tolerance else HIDDEN


@njit(**_JIT)
def _kinds(points, depth, inside, camera, tolerance):
    kinds = np.empty(len(points), np.int64)
    for i in range(len(points)):
        kinds[i] = _kind(points[i, 0], points[i, 1], points[i, 2], depth, inside, camera, tolerance)
    return kinds


@njit(**_JIT)
def _judge(points, turns, shifts, depth, inside, camera, tolerance, most_conflicts):
    counts = np.zeros((len(turns), 4))
    for k in range(len(turns)):
        a, t = turns[k], shifts[k]
        for i in range(len(points)):
            px, py, pz = points[i, 0], points[i, 1], points[i, 2]
            x = a[0, 0] * px + a[0, 1] * py + a[0, 2] * pz + t[0]
            y = a[1, 0] * px + a[1, 1] * py + a[1, 2] * pz + t[1]
            z = a[2, 0] * px + a[2, 1] * py + a[2, 2] * pz + t[2]
            counts[k, _kind(x, y, z, depth, inside, camera, tolerance)] += 1
            if counts[k, CONFLICT] > most_conflicts:
                break
    return counts


def mirrors(normals: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turns (K, 3, 3) and shifts (K, 3) that mirror at planes `normal @ p == offset`; normals (K, 3), offsets (K,)."""
    turns = np.eye(3) - 2 * normals[:, :, None] * normals[:, None, :]
    return turns, 2 * offsets[:, None] * normals


def rotations(up: np.ndarray, centers: np.ndarray, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Turns (K, 3, 3) and shifts (K, 3) that turn by `angle` rad about axes along `up` through centers (K, 3)."""
    x, y, z = up
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turn = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return np.broadcast_to(turn, (len(centers), 3, 3)).copy(), centers - centers @ turn.T
