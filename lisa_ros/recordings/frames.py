"""What a bag holds of one moment: messages as they lie there, and the frame that they make together."""

import logging
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from lisa_ros.errors import InvalidImageError, RecordingError
from lisa_ros.geometry import CameraModel
from lisa_ros.geometry.registration import is_registered
from lisa_ros.recordings import messages
from lisa_ros.sensor_messages.depth_registration import REFUSE, TRUST, difference, frame_of, is_of_other_frame
from lisa_ros.sensor_messages.image_messages import camera_model, decode_color, image_size, to_depth

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BagMessage:
    """One message as it lies in the bag. time: ns, when it was recorded. data: CDR bytes."""

    topic: str
    type: str
    time: int
    data: bytes

    @cached_property
    def message(self) -> Any:
        """The message by its fields. Raises RecordingError."""
        try:
            return messages.parse(self.data, self.type)
        except RecordingError as error:
            raise RecordingError(f"{self.topic} at {self.time} ns: {error}") from error

    @cached_property
    def stamp(self) -> int:
        """header.stamp in ns; zero stands for "not set", and the time of recording takes its place."""
        return messages.stamp_of(self.message) or self.time


@dataclass(frozen=True, eq=False)
class RgbdFrame:
    """One moment of the camera; pictures are decoded when they are asked for.

    Attributes:
        index: The frame of the recording, read off the stamp where the bag follows the rule of `topics`, counted
            otherwise.
        stamp: ns, of the image.
        frame_id: The camera's optical frame.
        pose: (4, 4) float64 world <- optical frame at the stamp, None where the bag has none.
        pose_frame: Which frame that world is, "" without a pose.
        messages: Role ("tf", "camera_info", "depth_info", "depth", "image") -> message.
        depth_registration: As of RgbdBag.
        depth_pose: (4, 4) float64 optical frame <- depth camera's, None where the bag does not say it.
        is_converted: Whether `lisa-ros scannet convert` wrote the bag, which has judged ScanNet's calibrations.
        told: Topics whose remarks have been told already; the bag's frames share it.
    """

    index: int
    stamp: int
    frame_id: str
    pose: np.ndarray | None
    pose_frame: str
    messages: dict[str, BagMessage]
    depth_registration: str = REFUSE
    depth_pose: np.ndarray | None = None
    is_converted: bool = False
    told: set[str] = field(default_factory=set, repr=False)

    def color(self) -> np.ndarray:
        """(H, W, 3) uint8 RGB, to the pixel what the perception node decodes. Raises InvalidImageError.

        What the node's results remark on such a picture (colour that is gone, a range that was guessed) is a warning.
        """
        image = self.messages["image"]
        rgb, remark = decode_color(image.message)
        if remark and image.topic not in self.told:
            self.told.add(image.topic)
            _log.warning("%s: %s", image.topic, remark)
        return rgb

    def depth(self) -> np.ndarray | None:
        """(h, w) float32 m on the image's view, 0 = invalid; None where no depth belongs to the image.

        Raises InvalidImageError, also for depth of another lens that the rule refuses or that cannot be registered.
        """
        if "depth" not in self.messages:
            return None
        metres = to_depth(self.messages["depth"].message)
        differs = "" if self.depth_registration == TRUST else self._difference(metres)
        return self._registered(metres, differs) if differs else metres

    @property
    def depth_difference(self) -> str:
        """How the depth's lens differs from the image's, whatever the rule; "" where nothing says so, or is no depth.

        Raises InvalidImageError for depth that cannot be decoded.
        """
        return self._difference(to_depth(self.messages["depth"].message)) if "depth" in self.messages else ""

    @property
    def camera(self) -> CameraModel:
        """Intrinsics of the rectified colour image.

        Raises InvalidImageError where there are none, unusable ones, or those of another frame.
        """
        if "camera_info" not in self.messages:
            raise InvalidImageError(f"the bag has no camera_info near the image at {self.stamp} ns")
        info, image = self.messages["camera_info"], self.messages["image"].message
        if is_of_other_frame(info.message, image) and self.depth_registration != TRUST:
            raise InvalidImageError(
                f"{info.topic} is of frame {frame_of(info.message)!r}, the image of {frame_of(image)!r}: name the "
                "image's own calibration (camera_info_topic), or, where only the driver's names differ, set "
                "depth_registration to trust"
            )
        return camera_model(info.message, image_size(image))

    def _difference(self, metres: np.ndarray) -> str:
        depth, image = self.messages["depth"].message, self.messages["image"].message
        try:
            color = self.camera
        except InvalidImageError:  # whoever needs the calibration is told; the frames can be compared without it
            color = None
        lens = self._lens(metres)
        if color is not None and lens is not None and self.is_converted and is_registered(color, lens):
            lens = None
        return difference(depth, image, color, metres.shape[::-1], lens)

    def _lens(self, metres: np.ndarray) -> CameraModel | None:
        """The depth camera's own intrinsics; None where the bag has none of its frame."""
        info = self.messages.get("depth_info")
        if info is None or is_of_other_frame(info.message, self.messages["depth"].message):
            return None
        try:
            return camera_model(info.message, metres.shape[::-1])
        except InvalidImageError as error:
            raise InvalidImageError(f"{info.topic} is not usable: {error}") from error

    def _registered(self, metres: np.ndarray, differs: str) -> np.ndarray:
        topic = self.messages["depth"].topic
        if self.depth_registration == REFUSE:
            raise InvalidImageError(
                f"{topic} is not registered to the image: {differs}; register it in the driver (align_depth, "
                "depth_registered), or set depth_registration to register, with the depth camera's calibration "
                "(depth_info_topic); where only the driver's names differ, to trust"
            )
        from lisa_ros.geometry.reprojection import reproject_depth, view_of  # numba, which is slow to load

        lens = self._lens(metres)
        if lens is None:
            raise InvalidImageError(
                f"{topic} cannot be registered ({differs}): the bag has no calibration of its frame "
                f"{frame_of(self.messages['depth'].message)!r}; name the topic that has it (depth_info_topic)"
            )
        pose = self._depth_pose(f"{topic} cannot be registered ({differs})")
        return reproject_depth(metres, lens, view_of(self.camera, lens), pose)

    def _depth_pose(self, problem: str) -> np.ndarray:
        wanted, found = (frame_of(self.messages[role].message) for role in ("image", "depth"))
        if self.depth_pose is not None:
            return self.depth_pose
        if found == wanted and found:
            return np.eye(4)
        raise InvalidImageError(
            f"{problem}: the bag's /tf and /tf_static do not say where {found!r} is in {wanted!r} at {self.stamp} ns"
        )
