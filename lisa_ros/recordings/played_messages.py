"""A bag's messages as they are played: what is of another lens is put on the image's view, where the rule says so."""

from collections import deque
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from lisa_ros.errors import InvalidImageError
from lisa_ros.geometry import CameraModel
from lisa_ros.recordings import messages
from lisa_ros.recordings.bag_reader import RgbdBag
from lisa_ros.recordings.frames import BagMessage, RgbdFrame
from lisa_ros.sensor_messages.depth_registration import REFUSE, REGISTER, frame_of

_ROLES = ("tf", "camera_info", "depth_info", "depth", "image")  # in this order: who has the image, has all of it
_AHEAD = 500_000_000  # ns of the bag's time that are read ahead for the transforms around a depth image
_FARTHEST = 65.535  # m, of 16 bits of mm
_CHANGED = ("camera_info", "depth_info", "depth")


class PlayedMessages:
    """Gives a bag's messages for playing, under the rule with which it was opened.

    refuse: as they lie in the bag. register, trust: depth and the calibrations in the image's frame, depth registered
    or as it is; what cannot be brought there is left out.

    Attributes:
        left_out: How many depth images were left out.
        reason: Why the last of them was.
    """

    def __init__(self, bag: RgbdBag) -> None:
        self._bag = bag
        self.left_out, self.reason = 0, ""
        self._view: CameraModel | None = None  # of the last depth image that was brought to the image's frame
        self._frame_id = ""

    def of_frame(self, frame: RgbdFrame) -> list[BagMessage]:
        """A frame's messages, the image last."""
        found = frame.messages if self._bag.depth_registration == REFUSE else self._on_image(frame)
        return [found[role] for role in _ROLES if role in found]

    def __iter__(self) -> Iterator[BagMessage]:
        """Every message, in the order of time. Raises RecordingError."""
        if self._bag.depth_registration == REFUSE:
            yield from self._bag.messages()
            return
        poses = self._bag.poses()
        latest = {role: found for role in ("image", *_CHANGED) if (found := self._bag.first(role)) is not None}
        waiting: deque[BagMessage] = deque()
        for message in self._bag.messages():
            if self._bag.roles.get(message.topic) == "tf" and poses is not None:
                poses.add(message)
            waiting.append(message)
            while message.time - waiting[0].time > _AHEAD:
                yield from self._played(waiting.popleft(), latest, poses)
        while waiting:
            yield from self._played(waiting.popleft(), latest, poses)

    def _played(self, message: BagMessage, latest: dict[str, BagMessage], poses) -> Iterator[BagMessage]:
        role = self._bag.roles.get(message.topic)
        if role in latest:
            latest[role] = message
        if role not in _CHANGED or "image" not in latest:
            yield message
            return
        if role == "depth_info" and self._view is not None:
            yield _packed(message, messages.camera_info(self._view, message.stamp, self._frame_id))
            return
        name = latest["image"].message.header.frame_id
        depth_pose = None
        if role != "camera_info" and "depth" in latest and poses is not None:
            depth_pose = poses.between(name, frame_of(latest["depth"].message), message.stamp)
        rule, is_converted = self._bag.depth_registration, bool(self._bag.manifest)
        parts = latest if role != "camera_info" else {"image": latest["image"], role: message}
        frame = RgbdFrame(0, message.stamp, name, None, "", parts, rule, depth_pose, is_converted)
        found = self._on_image(frame, role).get(role)
        if found is not None:
            yield found

    def _on_image(self, frame: RgbdFrame, wanted: str = "depth") -> dict[str, BagMessage]:
        """Role -> message of a frame, in the image's frame. wanted: the role whose absence counts."""
        found = dict(frame.messages)
        if "camera_info" in found:
            found["camera_info"] = _renamed(found["camera_info"], frame)
        try:
            if "depth" not in found or not frame.depth_difference:
                return found
            metres = frame.depth()
            view = frame.camera.scaled(*metres.shape[::-1])
        except InvalidImageError as error:
            if wanted == "depth":
                self.left_out, self.reason = self.left_out + 1, str(error)
            return {role: message for role, message in found.items() if role not in ("depth", "depth_info")}
        self._view, self._frame_id = view, frame.frame_id
        depth = found["depth"]
        found["depth"] = (
            _image(depth, metres, frame) if frame.depth_registration == REGISTER else _renamed(depth, frame)
        )
        if "depth_info" in found:
            info = found["depth_info"]
            found["depth_info"] = _packed(info, messages.camera_info(view, info.stamp, frame.frame_id))
        return found


def _renamed(found: BagMessage, frame: RgbdFrame) -> BagMessage:
    """The message with the image's frame."""
    if found.message.header.frame_id == frame.frame_id or frame.depth_registration == REGISTER:
        return found
    header = replace(found.message.header, frame_id=frame.frame_id)
    return _packed(found, replace(found.message, header=header))


def _image(found: BagMessage, metres: np.ndarray, frame: RgbdFrame) -> BagMessage:
    """A depth image of the topic's own type; compressedDepth has whole millimetres."""
    if found.type == messages.IMAGE:
        return _packed(found, messages.depth_image(metres, found.stamp, frame.frame_id))
    millimetres = np.rint(np.where(metres < _FARTHEST, metres, 0) * 1000).astype(np.uint16)
    return _packed(found, messages.compressed_depth(millimetres, found.stamp, frame.frame_id))


def _packed(found: BagMessage, message) -> BagMessage:
    return replace(found, data=messages.pack(message, found.type))
