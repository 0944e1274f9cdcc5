"""Rotations and poses as numbers: what ROS messages hold against matrices. World units are metres."""

import math

import numpy as np

from lisa_ros.errors import NoTransformError

_RIGID = 1e-2  # rotations from files are rounded, from float32 at best


def is_rotation(matrix: np.ndarray) -> bool:
    """Whether a finite (3, 3) matrix is a right-handed rotation, but for rounding."""
    matrix = np.asarray(matrix, dtype=np.float64)
    return bool(np.abs(matrix.T @ matrix - np.eye(3)).max() < _RIGID and np.linalg.det(matrix) > 0)


def quaternion_of(rotation: np.ndarray) -> tuple[float, float, float, float]:
    """Right-handed rotation matrix (3, 3) to a unit quaternion (x, y, z, w) with w >= 0, by Shepperd's method."""
    r = np.asarray(rotation, dtype=np.float64)
    trace = np.trace(r)
    squares = np.array([1 + 2 * r[0, 0] - trace, 1 + 2 * r[1, 1] - trace, 1 + 2 * r[2, 2] - trace, 1 + trace])
    largest = int(np.argmax(squares))
    if largest == 3:
        q = np.array([r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1], squares[3]])
    else:
        i, j, k = largest, (largest + 1) % 3, (largest + 2) % 3
        q = np.empty(4)
        q[i], q[j], q[k], q[3] = squares[i], r[j, i] + r[i, j], r[k, i] + r[i, k], r[k, j] - r[j, k]
    q = q / np.linalg.norm(q) * math.copysign(1, q[3])
    return float(q[0]), float(q[1]), float(q[2]), float(q[3])


def pose_matrix(values) -> np.ndarray:
    """x y z qx qy qz qw (m, quaternion) to a (4, 4) float64 transform.

    The quaternion is normalised, as tf2 does, which takes lengths that are half a percent off.
    Raises NoTransformError for one of no length, as messages that nobody filled in have it, or of no finite one.
    """
    x, y, z, *turn = (float(value) for value in values)
    length = math.hypot(*turn)
    if not 0 < length < math.inf:
        raise NoTransformError(f"a pose's quaternion (x, y, z, w) is {tuple(turn)}; its length must be 1")
    qx, qy, qz, qw = (value / length for value in turn)
    matrix = np.eye(4)
    matrix[:3, :3] = [
        [1 - 2 * (qy * qy + qz * qz), 2 * (qx * qy - qz * qw), 2 * (qx * qz + qy * qw)],
        [2 * (qx * qy + qz * qw), 1 - 2 * (qx * qx + qz * qz), 2 * (qy * qz - qx * qw)],
        [2 * (qx * qz - qy * qw), 2 * (qy * qz + qx * qw), 1 - 2 * (qx * qx + qy * qy)],
    ]
    matrix[:3, 3] = x, y, z
    return matrix
