"""Grasps that are proposed for a mask: by this package's clouds, by a plain recipe, and by the truth."""

import numpy as np

from lisa_ros.errors import NoDepthError
from lisa_ros.evaluation.geometry.reference_boxes import plain_box
from lisa_ros.evaluation.grasp.bodies import surface_points
from lisa_ros.evaluation.grasp.gripper import Gripper, plan
from lisa_ros.geometry import CameraModel, target_clouds
from lisa_ros.geometry.report import TopGrasp
from lisa_ros.simulator import Scene
from lisa_ros.simulator.layout import Placed

RECIPES = ("lisa", "plain")
_DOWN = np.array([0.0, 0.0, -1.0])
_PAST_CENTRE = 0.008  # m that fingertips reach below the middle of a box: hands are led by the middle of their pads


def propose(recipe: str, scene: Scene, mask: np.ndarray, depth: np.ndarray) -> TopGrasp | str:
    """A grasp in the world for the object under a mask (H, W) bool, or why there is none.

    depth: (H, W) float32 m, as measured. The camera's pose, and so gravity and the table's height, is known, as of any
    robot that is to act on what it sees. "lisa" is the grasp of the published report; "plain" that of `plain_box`.
    """
    return (_of_report if recipe == "lisa" else _of_plain_box)(scene, mask, depth)


def _of_report(scene: Scene, mask: np.ndarray, depth: np.ndarray) -> TopGrasp | str:
    up = scene.camera_pose[2, :3]
    clouds = target_clouds([mask], depth, scene.image, _camera(scene), pose=scene.camera_pose, up=up, with_scene=False)
    report = clouds.reports[0]
    if report is None:
        return "no cloud"
    return report.grasp or "no support"


def _of_plain_box(scene: Scene, mask: np.ndarray, depth: np.ndarray) -> TopGrasp | str:
    try:
        box, _ = plain_box(mask, depth, _camera(scene))
    except NoDepthError:
        return "no cloud"
    pose = scene.camera_pose
    return box_grasp(pose[:3, :3] @ box.center + pose[:3, 3], pose[:3, :3] @ box.axes, box.extents)


def box_grasp(centre: np.ndarray, axes: np.ndarray, extents: np.ndarray) -> TopGrasp:
    """The grasp straight from above at a box's centre, across the shorter one of its two more level axes.

    centre (3,), axes (3, 3) as columns, extents (3,) full lengths, in the world, m.
    """
    level = np.argsort(np.abs(axes[2]), kind="stable")[:2]
    short = level[np.argmin(extents[level])]
    closing = axes[:, short] * (1.0, 1.0, 0.0)
    closing /= np.linalg.norm(closing)
    rotation = np.column_stack([np.cross(closing, _DOWN), closing, _DOWN])
    top = float(np.abs(axes[2]) @ extents) / 2.0
    return TopGrasp(centre + _PAST_CENTRE * _DOWN, rotation, float(extents[short]), centre - top * _DOWN)


def true_grasp(placed: Placed, gripper: Gripper) -> tuple[TopGrasp, float]:
    """What a recipe would propose that knew the object's box, and the width (m) that the pads then close on.

    The width is that of the object's surface between the pads, which may be less than the box's: a hammer's handle.
    """
    c, s = np.cos(placed.yaw), np.sin(placed.yaw)
    axes = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    points = surface_points(placed.parts)
    low, high = points.min(axis=0), points.max(axis=0)
    points = points @ axes.T + (placed.x, placed.y, 0.0)
    grasp = box_grasp(axes @ (low + high) / 2.0 + (placed.x, placed.y, 0.0), axes, high - low)
    pose = plan(grasp, gripper).pose
    local = (points - pose[:3, 3]) @ pose[:3, :3]
    between = (np.abs(local[:, 0]) <= gripper.pad_width / 2.0) & (local[:, 2] <= 0.0)
    return grasp, float(np.ptp(local[between, 1])) if between.any() else 0.0


def _camera(scene: Scene) -> CameraModel:
    return CameraModel.from_matrix(scene.intrinsics, scene.depth.shape[1], scene.depth.shape[0])
