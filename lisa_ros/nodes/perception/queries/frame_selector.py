"""Which image a query is about, how old it is, and why there is none. No rclpy."""

import time
from collections.abc import Callable
from dataclasses import replace

from lisa_ros.nodes.common.stamps import SECOND
from lisa_ros.nodes.perception.frames.frame_buffer import CameraFrame, FrameBuffer
from lisa_ros.nodes.perception.queries.query import Query

_COMPLETION_WAIT = 0.3  # s that a query waits for depth and camera_info of an image that is there already
AHEAD = SECOND // 2  # a stamp that is ahead of the node clock by more than this is told; less is jitter of clocks


class FrameSelector:
    """now() gives the node clock in ns, arrival() the clock of arrivals, which no correction of the time of day moves.

    subscribers() gives the node's `CameraSubscribers`, None while it has none.
    """

    def __init__(self, buffer: FrameBuffer, now: Callable[[], int], arrival: Callable[[], int], subscribers: Callable):
        self._buffer, self._now, self._arrival, self._subscribers = buffer, now, arrival, subscribers

    def newest(self) -> CameraFrame | None:
        """The newest image of any age."""
        return self._buffer.newest()

    def find(self, query: Query) -> CameraFrame | None:
        """The image at the query's stamp, or the newest; None where it is not there yet, too old or incomplete."""
        frame = self._buffer.at(query.image_stamp) if query.image_stamp else self._buffer.newest()
        if frame is None or (not query.image_stamp and self._is_stale(frame, query)):
            return None
        if query.seen is None:
            query.seen = time.perf_counter()
        return None if self._is_early(frame, query) else self._explained(frame, query)

    def age(self, frame: CameraFrame) -> int:
        """ns since the image was taken by its stamp, or since it arrived where that is longer: a clock may be ahead."""
        return max(self._now() - frame.stamp, self._arrival() - frame.arrived)

    def is_unsatisfiable(self, query: Query) -> bool:
        """Whether waiting is in vain: the stamp is a past one, and no image has it."""
        newest = self._buffer.newest_stamp
        return 0 < query.image_stamp < (newest or 0) and self._buffer.at(query.image_stamp) is None

    def is_overdue(self, query: Query) -> bool:
        """Whether a query has waited for long enough for an image, also for one that was there and is gone again."""
        now = time.perf_counter()
        is_completing = query.seen is not None and now - query.seen <= _COMPLETION_WAIT
        return query.frame is None and not is_completing and now - query.waiting_since > query.parameters.image_timeout

    def why_none(self, query: Query) -> str:
        """What to tell a person whose query found no image."""
        stamps, refusal = self._buffer.range, self._buffer.refusal("image")
        if stamps is None:
            waited = f"no image within {query.parameters.image_timeout:g} s"
            if refusal:
                return f"{waited}; the last one was refused: {refusal}"
            return f"{waited}; {self._hint('image') or 'is a camera running, and its topic remapped to `image`?'}"
        if query.image_stamp:
            oldest, newest = (f"{stamp / SECOND:.3f}" for stamp in stamps)
            return f"no image is stamped {query.image_stamp / SECOND:.3f} s; the buffer holds {oldest} to {newest} s"
        last = self._buffer.last
        stale = f"the newest image is {self.age(last) / SECOND:.1f} s old, max_image_age is "
        stale += f"{query.parameters.max_image_age:g} s"
        if refusal:
            return f"{stale}; later ones were refused: {refusal}"
        return f"{stale}: {self._why_stale(last, query)}"

    def _why_stale(self, last: CameraFrame, query: Query) -> str:
        waited = self._arrival() - last.arrived
        if waited > query.parameters.max_image_age * SECOND:
            remark = clock_remark(last)
            return f"none has come for {waited / SECOND:.1f} s, the camera stopped" + (f"; {remark}" if remark else "")
        return (
            f"it came {waited / SECOND:.1f} s ago, stamped {-last.lead / SECOND:.1f} s in the past: it was long on its "
            "way, or the camera's clock is behind this node's (synchronise them; a bag needs use_sim_time)"
        )

    def _is_stale(self, frame: CameraFrame, query: Query) -> bool:
        limit = query.parameters.max_image_age
        return limit > 0 and self.age(frame) > limit * SECOND

    def _is_early(self, frame: CameraFrame, query: Query) -> bool:
        """Whether depth or intrinsics of the image are still on their way."""
        if not query.with_cloud or time.perf_counter() - query.seen >= _COMPLETION_WAIT:
            return False
        subscribers = self._subscribers()
        return subscribers is not None and any(subscribers.publishers(stream) > 0 for stream in _missing(frame))

    def _explained(self, frame: CameraFrame, query: Query) -> CameraFrame:
        hints = {stream: self._hint(stream) for stream in _missing(frame)} if query.with_cloud else {}
        return replace(frame, hints=hints) if any(hints.values()) else frame

    def _hint(self, stream: str) -> str:
        subscribers = self._subscribers()
        return "" if subscribers is None else subscribers.hint(stream)


def clock_remark(frame: CameraFrame) -> str:
    """What to say about an image whose stamp is in the future; "" where it is not."""
    if frame.lead <= AHEAD:
        return ""
    return (
        f"the image is stamped {frame.lead / SECOND:.1f} s ahead of this node's clock: its age is counted from its "
        "arrival, and TF of its stamp may be missing; synchronise the clocks of camera and node"
    )


def _missing(frame: CameraFrame) -> list[str]:
    return [stream for stream, message in (("depth", frame.depth), ("info", frame.info)) if message is None]
