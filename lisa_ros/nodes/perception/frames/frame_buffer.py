"""Ring buffers that bind depth and camera_info to an image by its stamp. No rclpy; times are integer nanoseconds.

Nothing is synchronised after inference: with seconds of model latency that pairs an image with a later depth. A query
takes a `CameraFrame` when it is accepted, and everything that it says about the world comes from that frame.
"""

import bisect
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lisa_ros.nodes.common.stamps import SECOND
from lisa_ros.nodes.perception.frames.missed_frames import MissedFrames

# A stream whose stamps fall back by more than this was restarted (bag loop, driver); less is reordering on the way.
RESTART = SECOND
# The newest image is passed over for a complete one (depth and camera_info are there), but for none older by this.
COMPLETION_LAG = SECOND // 4
_AHEAD = SECOND // 2  # a stamp that is ahead of the node clock by more than this is reported; less is clock jitter
STREAMS = ("image", "depth", "info", "depth_info")


@dataclass(frozen=True)
class CameraFrame:
    """An image with the depth and calibration of its moment.

    Attributes:
        stamp: ns.
        arrived: ns, clock of arrivals.
        image: sensor_msgs Image or CompressedImage.
        depth: The same, of depth; None where none belongs to the image.
        info: CameraInfo of the image; None where none belongs to it.
        depth_refusal: Why the depth that arrived was refused; "" where it was not.
        depth_info: CameraInfo of the depth camera; None where it has no publisher.
        lead: ns by which the stamp was ahead of the node clock on arrival; negative where it was behind.
        hints: For streams without a publisher that fits, by stream: what to set.
    """

    stamp: int
    arrived: int
    image: Any
    depth: Any = None
    info: Any = None
    depth_refusal: str = ""
    depth_info: Any = None
    lead: int = 0
    hints: Mapping[str, str] = field(default_factory=dict)

    @property
    def clock_remark(self) -> str:
        """What to say about an image whose stamp is in the future; "" where it is not."""
        if self.lead <= _AHEAD:
            return ""
        return (
            f"the image is stamped {self.lead / SECOND:.1f} s ahead of this node's clock: its age is counted from its "
            "arrival, and TF of its stamp may be missing; synchronise the clocks of camera and node"
        )


@dataclass
class StreamCounts:
    """Counts of one stream.

    Attributes:
        received: Messages that were buffered.
        missed: Frames that never arrived, by the rhythm of the stamps.
        rejected: Messages that were refused.
        restarts: How often the stamps fell back.
        unpaired: Images without depth within the tolerance, although later depth arrived.
        last_rejection: Reason of the last refusal.
        last_rejected: When that was, ns, clock of arrivals; 0: not since the buffer was emptied.
    """

    received: int = 0
    missed: int = 0
    rejected: int = 0
    restarts: int = 0
    unpaired: int = 0
    last_rejection: str = ""
    last_rejected: int = 0


@dataclass
class _MessageRing:
    """Messages of one stream, sorted by stamp, the newest `size` of them."""

    size: int
    stamps: list[int] = field(default_factory=list)
    items: list[tuple[Any, int, int]] = field(default_factory=list)  # message, arrival, lead

    def add(self, stamp: int, *item):
        at = bisect.bisect_left(self.stamps, stamp)
        if at < len(self.stamps) and self.stamps[at] == stamp:
            self.items[at] = item
            return
        self.stamps.insert(at, stamp)
        self.items.insert(at, item)
        if len(self.stamps) > self.size:
            del self.stamps[0], self.items[0]

    def nearest(self, stamp: int, tolerance: int) -> int | None:
        """Index of the message nearest to stamp and within the tolerance."""
        at = bisect.bisect_left(self.stamps, stamp)
        near = [i for i in (at - 1, at) if 0 <= i < len(self.stamps) and abs(self.stamps[i] - stamp) <= tolerance]
        return min(near, key=lambda i: abs(self.stamps[i] - stamp), default=None)

    def clear(self):
        self.stamps.clear()
        self.items.clear()


class FrameBuffer:
    """Used by one thread. size: images kept. tolerance() gives the ns by which stamps of one moment may differ."""

    def __init__(self, size: int, tolerance: Callable[[], int]):
        self._tolerance = tolerance
        self._rings = {name: _MessageRing(size) for name in STREAMS}
        self.counts = {name: StreamCounts() for name in self._rings}
        self._recent: deque[int] = deque(maxlen=30)  # arrivals of images, for the rate
        self._rhythm = MissedFrames()

    def add(self, stream: str, stamp: int, message, arrived: int, lead: int = 0) -> bool:
        """Adds a message.

        stream: one of STREAMS. arrived, lead: as of CameraFrame. True where the stream restarted (stamps fell back),
        which empties the buffer.
        """
        ring, counts = self._rings[stream], self.counts[stream]
        restarted = bool(ring.stamps) and stamp < ring.stamps[-1] - RESTART
        if restarted:
            counts.restarts += 1
            self.clear()
        ring.add(stamp, message, arrived, lead)
        counts.received += 1
        if stream == "image":
            self._recent.append(arrived)
            counts.missed += self._rhythm.note(stamp)
            self._note_unpaired()
        return restarted

    def reject(self, stream: str, reason: str, arrived: int):
        """Counts a message that was refused before it came here."""
        counts = self.counts[stream]
        counts.rejected += 1
        counts.last_rejection, counts.last_rejected = reason, arrived

    def refusal(self, stream: str) -> str:
        """Why the messages of a stream after its last good one were refused; "" where none were."""
        counts, items = self.counts[stream], self._rings[stream].items
        newest_arrival = items[-1][1] if items else 0
        return counts.last_rejection if counts.last_rejected > newest_arrival else ""

    def clear(self):
        """Forgets all messages and keeps the counts."""
        for ring in self._rings.values():
            ring.clear()
        for counts in self.counts.values():
            counts.last_rejected = 0
        self._recent.clear()
        self._rhythm = MissedFrames()

    @property
    def newest_stamp(self) -> int | None:
        """Stamp of the newest image; None without one."""
        stamps = self._rings["image"].stamps
        return stamps[-1] if stamps else None

    @property
    def last(self) -> CameraFrame | None:
        """The newest image, with what belongs to it by now; None without one."""
        count = len(self._rings["image"].stamps)
        return self._frame(count - 1) if count else None

    @property
    def range(self) -> tuple[int, int] | None:
        """Stamps of the oldest and the newest image; None without one."""
        stamps = self._rings["image"].stamps
        return (stamps[0], stamps[-1]) if stamps else None

    @property
    def last_arrival(self) -> int | None:
        """When the last image came, ns, clock of arrivals; None where none came since the buffer was emptied."""
        return self._recent[-1] if self._recent else None

    @property
    def rate(self) -> float:
        """Images per second over the last ones; 0 where there are fewer than two."""
        if len(self._recent) < 2 or self._recent[-1] <= self._recent[0]:
            return 0.0
        return (len(self._recent) - 1) * SECOND / (self._recent[-1] - self._recent[0])

    def at(self, stamp: int) -> CameraFrame | None:
        """The image at a stamp: the exact one, else the nearest within the tolerance, else None."""
        index = self._rings["image"].nearest(stamp, self._tolerance())
        return None if index is None else self._frame(index)

    def newest(self) -> CameraFrame | None:
        """The newest image that has depth and camera_info already; the newest one where no recent one has."""
        stamps = self._rings["image"].stamps
        for index in range(len(stamps) - 1, -1, -1):
            if stamps[index] < stamps[-1] - COMPLETION_LAG:
                break
            frame = self._frame(index)
            if frame.info is not None and frame.depth is not None:
                return frame
        return self._frame(len(stamps) - 1) if stamps else None

    def _frame(self, index: int) -> CameraFrame:
        images = self._rings["image"]
        stamp, (image, arrived, lead) = images.stamps[index], images.items[index]
        depth = self._bound("depth", stamp)
        refused = self.refusal("depth") if depth is None else ""
        depth_info = self._calibration("depth_info", stamp, depth) if depth is not None else None
        info = self._calibration("info", stamp, image)
        return CameraFrame(stamp, arrived, image, depth, info, refused, depth_info, lead)

    def _bound(self, stream: str, stamp: int):
        index = self._rings[stream].nearest(stamp, self._tolerance())
        return None if index is None else self._rings[stream].items[index][0]

    def _calibration(self, stream: str, stamp: int, image):
        """The camera_info of an image: of its frame before others, of its stamp before later ones.

        Intrinsics do not change with time: some drivers publish them rarely, or with stamps of their own. One of
        another frame is returned as well, so that its user can report what is wrong.
        """
        found = self._bound(stream, stamp)
        infos = [found] if found is not None else []
        infos += [item[0] for item in reversed(self._rings[stream].items)]
        frame = image.header.frame_id
        for wanted in (frame, ""):
            for info in infos:
                if info.header.frame_id == wanted:
                    return info
        return infos[0] if infos else None

    def _note_unpaired(self):
        """Judges the image two places back: by now its depth would be here."""
        images, depth = self._rings["image"].stamps, self._rings["depth"]
        if len(images) < 3 or not depth.stamps or depth.stamps[-1] < images[-3]:
            return
        if depth.nearest(images[-3], self._tolerance()) is None:
            self.counts["image"].unpaired += 1
