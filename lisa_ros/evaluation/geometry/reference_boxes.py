"""True boxes of simulated objects, exact for round and turned parts.

`SceneObject.extents` hold the boxes of an object's parts, which are loose where a part is turned: those of a ball by up
to 41%. Here every part's own surface counts.
"""

import math

import numpy as np

from lisa_ros.errors import NoDepthError
from lisa_ros.evaluation.geometry.box_errors import OrientedBox
from lisa_ros.geometry import CameraModel
from lisa_ros.geometry.masks import at_size
from lisa_ros.simulator import Scene, SceneOptions
from lisa_ros.simulator.intersect import ARC, FRUSTUM, SPHERE
from lisa_ros.simulator.layout import Placed
from lisa_ros.simulator.layout_sampling import sample_layout
from lisa_ros.simulator.parts import Part

_ARC_STEPS = 721
_NEIGHBOURS, _DEVIATIONS = 20, 2.0  # of Open3D's tutorial


def true_boxes(scene: Scene, options: SceneOptions | None = None) -> dict[int, OrientedBox]:
    """`SceneObject.id` -> box in the world, upright; axis 0 is the longer horizontal one.

    options: those that the scene was made with.
    """
    height, width = scene.depth.shape
    layout = sample_layout(scene.seed, options or SceneOptions(), height / width)
    return {number: _box(placed) for number, placed in enumerate(layout.objects, 1)}


def _box(placed: Placed) -> OrientedBox:
    low, high = np.empty(3), np.empty(3)
    for axis, direction in enumerate(np.eye(3)):
        high[axis] = max(part_reach(part, direction) for part in placed.parts)
        low[axis] = -max(part_reach(part, -direction) for part in placed.parts)
    c, s = math.cos(placed.yaw), math.sin(placed.yaw)
    axes = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    center = axes @ ((low + high) / 2) + (placed.x, placed.y, 0.0)
    extents = high - low
    if extents[1] > extents[0]:
        axes, extents = np.column_stack([axes[:, 1], -axes[:, 0], axes[:, 2]]), extents[[1, 0, 2]]
    return OrientedBox(center, axes, extents)


def part_reach(part: Part, direction: np.ndarray) -> float:
    """Largest `direction @ p` over the points p of a part, m; direction: (3,) unit vector in the object's frame."""
    q = np.asarray(part.scale) * (part.rotation.T @ direction)
    across = math.hypot(q[0], q[1])
    if part.kind == SPHERE:
        z = np.clip(q[2] / max(np.linalg.norm(q), 1e-12), *part.shape[:2])
        reach = math.sqrt(max(0.0, 1 - z * z)) * across + z * q[2]
    elif part.kind == FRUSTUM:
        reach = max(part.shape[0] * across - q[2], part.shape[1] * across + q[2])
    elif part.kind == ARC:
        tube, half, taper = part.shape[:3]
        angle = np.linspace(-half, half, _ARC_STEPS)
        thickness = tube * (1 - taper * (angle / half) ** 4)
        reach = float((np.cos(angle) * q[0] + np.sin(angle) * q[1] + thickness * np.linalg.norm(q)).max())
    else:
        reach = float(np.abs(q).sum())
    return float(direction @ np.asarray(part.centre)) + reach


def plain_box(mask: np.ndarray, depth_m: np.ndarray, camera: CameraModel) -> tuple[OrientedBox, np.ndarray]:
    """Box and points (N, 3) m in the optical frame.

    mask: (H, W) bool. depth_m: (h, w) float m, 0 = none. camera: of the mask's image. Raises NoDepthError.
    """
    import open3d

    height, width = depth_m.shape
    rows, columns = np.nonzero(at_size(mask, depth_m.shape) & (depth_m > 0))
    points = camera.scaled(width, height).back_project(rows, columns, depth_m[rows, columns])
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points))
    if len(points) > _NEIGHBOURS:
        cloud, _ = cloud.remove_statistical_outlier(_NEIGHBOURS, _DEVIATIONS)
    try:
        box = cloud.get_oriented_bounding_box()
    except RuntimeError as error:  # fewer than four points, or all in one plane to Qhull's precision
        raise NoDepthError(f"Open3D makes no box of {len(cloud.points)} points") from error
    return OrientedBox(np.asarray(box.center), np.asarray(box.R), np.asarray(box.extent)), np.asarray(cloud.points)
