"""Poses of the cameras: fixed ones from parameters, or TF where tf2_ros is installed."""

import numpy as np
from rclpy.node import Node

from lisa_ros.errors import NoTransformError
from lisa_ros.geometry.poses import pose_matrix
from lisa_ros.nodes.common.stamps import time_message
from lisa_ros.nodes.perception.frames.frame_buffer import CameraFrame
from lisa_ros.nodes.perception.parameters import PerceptionParameters

try:
    import tf2_ros
except ImportError:
    tf2_ros = None


class CameraTransforms:
    """Subscribes to TF while it is open, where the parameters need it."""

    def __init__(self, node: Node):
        self._node = node
        self._buffer = self._listener = None
        self._is_missing_logged = False
        self.misses = 0

    def open(self, parameters: PerceptionParameters):
        """Subscribes to TF where the parameters need it; logs one error where tf2_ros is missing."""
        if not self._needs_tf(parameters) or self._buffer is not None:
            return
        if tf2_ros is None:
            if not self._is_missing_logged:
                self._log_missing(parameters)
            return
        # Without the node: the buffer's own reaction to a jump of the node's clock raises an error in some releases.
        self._buffer = tf2_ros.Buffer()
        self._listener = tf2_ros.TransformListener(self._buffer, self._node)

    def _needs_tf(self, parameters: PerceptionParameters) -> bool:
        for_camera = parameters.target_frame and not parameters.camera_pose
        return bool(for_camera or (parameters.depth_registration == "register" and not parameters.depth_pose))

    def _log_missing(self, parameters: PerceptionParameters):
        self._is_missing_logged = True
        self._node.get_logger().error(
            f"target_frame={parameters.target_frame!r} and depth_registration={parameters.depth_registration!r} "
            "need TF, but tf2_ros is not installed: set camera_pose and depth_pose, or install tf2_ros; "
            "until then clouds end as NO_TRANSFORM or NO_DEPTH"
        )

    def close(self):
        """Unsubscribes from TF."""
        if self._listener is not None:
            self._listener.unregister()
        self._buffer = self._listener = None

    def clear(self):
        """Forgets all transforms, after a time jump."""
        if self._buffer is not None:
            self._buffer.clear()

    def find(self, frame: CameraFrame, parameters: PerceptionParameters) -> np.ndarray | None:
        """(4, 4) target_frame <- optical frame at the frame's stamp; None where the optical frame itself is wanted.

        Raises NoTransformError.
        """
        source, target = frame.image.header.frame_id, parameters.target_frame
        if parameters.camera_pose and target:
            return pose_matrix(parameters.camera_pose)
        if not target or target == source:
            return None
        return self._look_up(target, source, frame.stamp, "camera_pose")

    def find_depth(self, frame: CameraFrame, parameters: PerceptionParameters) -> np.ndarray | None:
        """(4, 4) image's optical frame <- depth camera's at the frame's stamp; None where they are one.

        None as well where depth is not to be registered. Raises NoTransformError.
        """
        if parameters.depth_registration != "register" or frame.depth is None:
            return None
        if parameters.depth_pose:
            return pose_matrix(parameters.depth_pose)
        target, source = (one.header.frame_id.lstrip("/") for one in (frame.image, frame.depth))
        if not source or not target:
            raise NoTransformError(
                f"depth names frame_id {source!r}, the image {target!r}, between which there is no transform; the "
                "parameter depth_pose can give a fixed pose"
            )
        if source == target:
            return None
        return self._look_up(target, source, frame.stamp, "depth_pose")

    def _look_up(self, target: str, source: str, stamp: int, parameter: str) -> np.ndarray:
        if self._buffer is None:
            reason = "tf2_ros is not installed" if tf2_ros is None else "listening to TF is about to begin, ask again"
            raise NoTransformError(
                f"no transform from {source!r} to {target!r}: {reason}; the parameter {parameter} can give a fixed pose"
            )
        try:
            found = self._buffer.lookup_transform(target, source, time_message(stamp))
        except tf2_ros.TransformException as error:
            self.misses += 1
            raise NoTransformError(
                f"no transform from {source!r} to {target!r} at the image's stamp: {error}"
            ) from error
        moved, turned = found.transform.translation, found.transform.rotation
        return pose_matrix((moved.x, moved.y, moved.z, turned.x, turned.y, turned.z, turned.w))
