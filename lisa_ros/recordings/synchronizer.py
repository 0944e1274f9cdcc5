"""Puts the messages of one moment together while they stream by, with a bounded number of them in memory."""

from collections import deque
from collections.abc import Iterator

import numpy as np

from lisa_ros.recordings import messages

DEPTH_TOLERANCE = 20_000_000  # ns, as the perception node's sync_tolerance
POSE_TOLERANCE = 1_000_000  # ns; poses are not interpolated
# An image waits so long (ns of the bag's time) for what belongs to it; drivers send depth some frames later at most.
PATIENCE = 250_000_000
_ROOM = 64  # messages kept of each kind at most, whatever the times say
_TRANSFORMS = 1024  # small, and of all frames of a robot

Parts = tuple[np.ndarray | None, dict]


class Synchronizer:
    """Takes a bag's messages in the order of time; gives (pose, role -> message) of each image.

    depth, tf: whether the bag has such messages, for which an image then waits.
    """

    def __init__(self, depth: bool, tf: bool):
        self._waits = {"depth": depth, "tf": tf}
        self._images: deque = deque()
        self._near = {role: deque(maxlen=_ROOM) for role in ("depth", "camera_info", "depth_info")}
        self._poses: deque = deque(maxlen=_TRANSFORMS)  # (stamp, pose, message) of the images' optical frame
        self._transforms: deque = deque(maxlen=_TRANSFORMS)  # seen before the first image said which frame that is
        self._frame_id: str | None = None

    def add(self, role: str, message) -> Iterator[Parts]:
        """Files a message of a role; gives the images that are complete, or have waited for long enough."""
        if role == "image":
            self._images.append(message)
            self._name_frame(message.message.header.frame_id)
        elif role == "tf":
            self._file_transforms(message)
        else:
            self._near[role].append(message)
        self._forget_before(message.time - 2 * PATIENCE)
        while self._images and self._is_due(self._images[0], message.time):
            yield self._assemble(self._images.popleft())

    def rest(self) -> Iterator[Parts]:
        """The images that still wait when the bag has ended."""
        while self._images:
            yield self._assemble(self._images.popleft())

    def _forget_before(self, time: int):
        depths, poses = self._near["depth"], self._poses
        while depths and depths[0].time < time:
            depths.popleft()
        while poses and poses[0][2].time < time:
            poses.popleft()

    def _name_frame(self, frame_id: str):
        if self._frame_id is None:
            self._frame_id = frame_id
            for message in self._transforms:
                self._file_transforms(message)
            self._transforms.clear()

    def _file_transforms(self, message):
        if self._frame_id is None:
            self._transforms.append(message)
            return
        for stamp, pose in messages.poses_of(message.message, self._frame_id):
            self._poses.append((stamp, pose, message))

    def _is_due(self, image, now: int) -> bool:
        if now - image.time > PATIENCE or len(self._images) > _ROOM:
            return True
        depth = not self._waits["depth"] or any(d.stamp == image.stamp for d in self._near["depth"])
        pose = not self._waits["tf"] or any(stamp == image.stamp for stamp, *_ in self._poses)
        return depth and pose and bool(self._near["camera_info"])

    def _assemble(self, image) -> Parts:
        found = {"image": image}
        for role, ring in self._near.items():
            nearest = min(ring, key=lambda message: abs(message.stamp - image.stamp), default=None)
            # A calibration holds whenever it was said; a depth image shows one moment.
            if nearest is not None and (role != "depth" or abs(nearest.stamp - image.stamp) <= DEPTH_TOLERANCE):
                found[role] = nearest
        pose = None
        nearest = min(self._poses, key=lambda entry: abs(entry[0] - image.stamp), default=None)
        if nearest is not None and abs(nearest[0] - image.stamp) <= POSE_TOLERANCE:
            pose, found["tf"] = nearest[1], nearest[2]
        return pose, found
