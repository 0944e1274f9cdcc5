"""Puts the messages of one moment together while they stream by, with a bounded number of them in memory."""

import heapq
import itertools
import logging
from collections import deque
from collections.abc import Iterator

import numpy as np

from lisa_ros.recordings import messages
from lisa_ros.recordings.poses import CameraPose, PoseFinder
from lisa_ros.sensor_messages.depth_registration import frame_of

SECOND = 1_000_000_000
DEPTH_TOLERANCE = 20_000_000  # ns, as the perception node's sync_tolerance
# An image waits so long (ns of the bag's time) for what belongs to it, and for images that were taken before it: a
# recorder writes down what arrives, and large or compressed messages take longer than others.
PATIENCE = 1_000_000_000
LARGEST = 256 << 20  # bytes of images and depth images that wait, whatever the times say
_ROOM = 64  # calibrations kept

Parts = tuple[CameraPose | None, np.ndarray | None, dict]
_log = logging.getLogger(__name__)


class Synchronizer:
    """Takes a bag's messages in the order of time; gives what belongs to each image, ordered by stamp.

    Given are the camera's pose, the (4, 4) of its optical frame <- the depth camera's, both None where they are not
    known, and role -> message. poses: gets the bag's transforms; None where there are none. tolerance: ns by which
    stamps of depth and image may differ.
    """

    def __init__(self, poses: PoseFinder | None, tolerance: int = DEPTH_TOLERANCE) -> None:
        self._poses, self._tolerance = poses, tolerance
        self._count = itertools.count()
        self._images: list = []  # heap of (stamp, number, message)
        self._arrived: deque = deque()  # (number, message), in the order of time
        self._given: set[int] = set()  # numbers that are still in _arrived
        self._near = {"depth": deque(), "camera_info": deque(maxlen=_ROOM), "depth_info": deque(maxlen=_ROOM)}
        self._bytes = 0
        self._last: int | None = None
        self._warned = self._told_late = False
        self._without_depth: deque[int] = deque(maxlen=_ROOM)  # stamps of images that were given without it
        self._is_paired = self._told_unstamped = False
        self._nearest: int | None = None  # ns between stamps of an image and of depth, at least

    def add(self, role: str, message) -> Iterator[Parts]:
        """Files a message of a role; gives the images that have waited for long enough."""
        if role in ("image", "depth") and not self._told_unstamped and not messages.stamp_of(message.message):
            self._told_unstamped = True
            _log.warning("%s: header.stamp is zero; the time of recording stands in for it", message.topic)
        if role == "image":
            number = next(self._count)
            heapq.heappush(self._images, (message.stamp, number, message))
            self._arrived.append((number, message))
            self._bytes += len(message.data)
        elif role == "tf":
            self._poses.add(message)
        else:
            self._near[role].append(message)
            self._tell_late(role, message)
            self._bytes += len(message.data) if role == "depth" else 0
        while self._arrived and (message.time - self._arrived[0][1].time > PATIENCE or self._bytes > LARGEST):
            yield self._next()
        self._forget_depth_before((self._arrived[0][1].time if self._arrived else message.time) - 2 * PATIENCE)

    def rest(self) -> Iterator[Parts]:
        """The images that still wait when the bag has ended."""
        while self._images:
            yield self._next()
        self._tell_unpaired()

    def _tell_unpaired(self) -> None:
        if self._is_paired or self._told_late or self._nearest is None:
            return
        if self._nearest > self._tolerance:
            self._is_paired = True  # told
            _log.warning("no image has depth: stamps of images and depth images are %.3f s apart at least, "
                         "sync_tolerance is %g s", self._nearest / SECOND, self._tolerance / SECOND)  # fmt: skip

    def _next(self) -> Parts:
        """The image with the lowest stamp, and what belongs to it."""
        stamp, number, image = heapq.heappop(self._images)
        self._bytes -= len(image.data)
        self._given.add(number)
        while self._arrived and self._arrived[0][0] in self._given:
            self._given.discard(self._arrived.popleft()[0])
        if self._last is not None and stamp < self._last and not self._warned:
            self._warned = True
            _log.warning("%s: the image at %d ns was recorded too late to be put in order", image.topic, stamp)
        self._last = stamp
        parts = self._assemble(image)
        if "depth" in parts[2]:
            self._is_paired = True
        else:
            self._without_depth.append(stamp)
            if len(self._without_depth) == _ROOM:
                self._tell_unpaired()
        self._forget(image)
        return parts

    def _tell_late(self, role: str, message) -> None:
        near = (abs(message.stamp - stamp) <= self._tolerance for stamp in self._without_depth)
        if role == "depth" and any(near) and not self._told_late:
            self._told_late = True
            _log.warning("%s: the depth image at %d ns was recorded more than %g s after its image, which has gone "
                         "without it", message.topic, message.stamp, PATIENCE / 1e9)  # fmt: skip

    def _forget(self, image) -> None:
        """What no later image can belong to; where stamps jump back, what comes later has lower ones."""
        depths = self._near["depth"]
        while depths and depths[0].stamp < image.stamp - self._tolerance and depths[0].time <= image.time:
            self._bytes -= len(depths.popleft().data)
        for ring in (self._near["camera_info"], self._near["depth_info"]):
            while len(ring) > 1 and ring[1].stamp <= image.stamp and ring[1].time <= image.time:
                ring.popleft()
        if self._poses is not None:
            self._poses.forget_before(image.stamp, image.time)

    def _forget_depth_before(self, time: int) -> None:
        """Where no image comes, nothing else may pile up."""
        depths = self._near["depth"]
        while depths and depths[0].time < time:
            self._bytes -= len(depths.popleft().data)

    def _assemble(self, image) -> Parts:
        found = {"image": image}
        for role, ring in self._near.items():
            nearest = min(ring, key=lambda message: abs(message.stamp - image.stamp), default=None)
            if role == "depth" and nearest is not None:
                off = abs(nearest.stamp - image.stamp)
                self._nearest = off if self._nearest is None else min(off, self._nearest)
            # A calibration holds whenever it was said; a depth image shows one moment.
            if nearest is not None and (role != "depth" or abs(nearest.stamp - image.stamp) <= self._tolerance):
                found[role] = nearest
        frame = image.message.header.frame_id
        pose = self._poses.pose_at(frame, image.stamp) if self._poses is not None else None
        if pose is not None and pose.message is not None:
            found["tf"] = pose.message
        return pose, self._depth_pose(found), found

    def _depth_pose(self, found: dict) -> np.ndarray | None:
        if self._poses is None or "depth" not in found:
            return None
        image, depth = found["image"], found["depth"]
        return self._poses.between(frame_of(image.message), frame_of(depth.message), image.stamp)
