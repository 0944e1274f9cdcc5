"""From a result to what the page shows of it in space."""

import math

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo

from lisa_ros.client.results import PerceptionResult, PerceptionTarget
from lisa_ros.console.state import LocatedTarget, SpatialView
from lisa_ros.errors import InvalidImageError
from lisa_ros.geometry.poses import pose_matrix
from lisa_ros.nodes.common.stamps import time_message
from lisa_ros.nodes.perception.frames.camera_subscribers import SENSOR
from lisa_ros.sensor_messages.camera_info import calibration

try:
    import tf2_ros
except ImportError:
    tf2_ros = None


class SpatialViews:
    """Makes spatial views; knows the camera's calibration and where the camera was."""

    def __init__(self, node: Node):
        """Subscribes to `camera_info`."""
        self._node = node
        self._info: CameraInfo | None = None
        self._buffer = self._listener = None
        self._subscription = node.create_subscription(CameraInfo, "camera_info", self._on_info, SENSOR)

    def make(self, result: PerceptionResult, parameters: dict[str, object]) -> SpatialView | None:
        """The view of a result with its clouds; None where it has neither points nor boxes.

        Args:
            result: With clouds, as far as they are there.
            parameters: The perception node's, as far as they are known.
        """
        located = tuple(
            _located(index, target) for index, target in enumerate(result.targets) if target.location is not None
        )
        clouds = [cloud for cloud in (result.cloud, result.scene_cloud) if cloud is not None]
        frames = [cloud.frame_id for cloud in clouds] + [t.location.frame_id for t in result.targets if t.location]
        if not frames:
            return None
        points, colors = _arrays(result.cloud)
        scene_points, scene_colors = _arrays(result.scene_cloud)
        return SpatialView(
            frame_id=frames[0],
            is_optical=frames[0] == result.frame_id or frames[0].endswith(("_optical", "_optical_frame")),
            points=points,
            colors=colors,
            scene_points=scene_points,
            scene_colors=scene_colors,
            located=located,
            support=result.support_pose,
            camera=self._camera(result, frames[0], parameters),
            vertical_fov=self._vertical_fov(),
        )

    def _on_info(self, message: CameraInfo):
        self._info = message

    def _vertical_fov(self) -> float:
        if self._info is None:
            return 0.0
        try:
            camera = calibration(self._info).camera
        except InvalidImageError:  # the perception node says what is wrong with it
            return 0.0
        return 2 * math.atan(camera.height / (2 * camera.fy))

    def _camera(self, result: PerceptionResult, frame_id: str, parameters: dict[str, object]) -> np.ndarray | None:
        """(4, 4) frame_id <- optical frame; None where it is not known."""
        if frame_id == result.frame_id:
            return np.eye(4)
        if frame_id == parameters.get("target_frame") and parameters.get("camera_pose"):
            return pose_matrix(tuple(parameters["camera_pose"]))
        return self._look_up(frame_id, result)

    def _look_up(self, frame_id: str, result: PerceptionResult) -> np.ndarray | None:
        if tf2_ros is None:
            return None
        if self._buffer is None:  # only where a result needs it: TF is much to listen to
            self._buffer = tf2_ros.Buffer()
            self._listener = tf2_ros.TransformListener(self._buffer, self._node)
            return None
        try:
            found = self._buffer.lookup_transform(frame_id, result.frame_id, time_message(result.stamp)).transform
        except tf2_ros.TransformException:
            return None
        moved, turned = found.translation, found.rotation
        return pose_matrix((moved.x, moved.y, moved.z, turned.x, turned.y, turned.z, turned.w))


def _located(index: int, target: PerceptionTarget) -> LocatedTarget:
    location = target.location
    grasp = None
    if location.grasp is not None:
        grasp = np.eye(4)
        grasp[:3, :3], grasp[:3, 3] = location.grasp.rotation, location.grasp.position
    return LocatedTarget(
        index,
        target.phrase or f"target {index + 1}",
        location.pose,
        location.extents,
        grasp,
        location.grasp.width if location.grasp else 0.0,
        location.grasp_warnings,
    )


def _arrays(cloud) -> tuple[np.ndarray, np.ndarray]:
    if cloud is None:
        return np.empty((0, 3), np.float32), np.empty((0, 3), np.uint8)
    return cloud.points, cloud.colors
