"""The poses that belong to one frame, looked up when a query is bound to it. No rclpy."""

from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from lisa_ros.errors import NoTransformError
from lisa_ros.nodes.perception.frames.frame_buffer import CameraFrame
from lisa_ros.nodes.perception.parameters import PerceptionParameters

if TYPE_CHECKING:
    from lisa_ros.nodes.perception.frames.camera_transforms import CameraTransforms


class FramePoses:
    """Poses at the stamp of a frame: looked up at once, because the TF buffer is short.

    TF of the newest image is often a little late, so that a lookup that fails is repeated when the pose is needed.

    Args:
        transforms: Where they are looked up.
        frame: The frame.
        parameters: Those of the query.
        earlier: Poses of an earlier query about the same frame; those that are the same are taken over, because the TF
            buffer may not reach back so far any more.
    """

    def __init__(
        self,
        transforms: "CameraTransforms",
        frame: CameraFrame,
        parameters: PerceptionParameters,
        earlier: "FramePoses | None" = None,
    ):
        self._transforms, self._frame, self._parameters = transforms, frame, parameters
        self._found: dict[str, np.ndarray | None] = {}
        if earlier is not None:
            self._take_over(earlier)
        for find in (self.camera, self.depth):
            with suppress(NoTransformError):
                find()

    def camera(self) -> np.ndarray | None:
        """As `CameraTransforms.find`: (4, 4) target_frame <- optical frame. Raises NoTransformError."""
        return self._find("camera", self._transforms.find)

    def depth(self) -> np.ndarray | None:
        """As `CameraTransforms.find_depth`: (4, 4) optical frame <- the depth camera's. Raises NoTransformError."""
        return self._find("depth", self._transforms.find_depth)

    def _find(self, name: str, find) -> np.ndarray | None:
        if name not in self._found:
            self._found[name] = find(self._frame, self._parameters)
        return self._found[name]

    def _take_over(self, earlier: "FramePoses"):
        same = {
            "camera": earlier._parameters.target_frame == self._parameters.target_frame,
            "depth": earlier._parameters.depth_pose == self._parameters.depth_pose,
        }
        known = {name: pose for name, pose in earlier._found.items() if same[name] and pose is not None}
        self._found.update(known)
