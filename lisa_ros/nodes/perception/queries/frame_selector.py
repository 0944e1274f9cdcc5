"""Which frame a query is about, how old it is, and why there is none."""

import time
from dataclasses import replace

from rclpy.node import Node

from lisa_ros.nodes.common.stamps import SECOND, arrival_time
from lisa_ros.nodes.perception.frames.camera_subscribers import CameraSubscribers
from lisa_ros.nodes.perception.frames.frame_buffer import CameraFrame, FrameBuffer
from lisa_ros.nodes.perception.queries.query import Query

_COMPLETION_WAIT = 0.3  # s that a query waits for depth and camera_info of an image that is there already


class FrameSelector:
    """Selects frames from the buffer; node gives the clocks, subscribers tell which streams have a publisher."""

    def __init__(self, node: Node, buffer: FrameBuffer, subscribers: CameraSubscribers):
        self._node, self._buffer, self._subscribers = node, buffer, subscribers

    def newest(self) -> CameraFrame | None:
        """The newest frame of any age."""
        self._subscribers.collect()
        return self._buffer.newest()

    def find(self, query: Query) -> CameraFrame | None:
        """The frame at the query's stamp, or the newest; None where it is not there yet, too old or incomplete."""
        self._subscribers.collect()
        stamp = query.request.image_stamp
        frame = self._buffer.at(stamp) if stamp else self._buffer.newest()
        if frame is None or (not stamp and self._is_stale(frame, query)):
            return None
        if query.frame_seen is None:
            query.frame_seen = time.perf_counter()
        return None if self._is_incomplete(frame, query) else self._with_hints(frame, query)

    def age(self, frame: CameraFrame) -> int:
        """ns since the image was taken by its stamp, or since it arrived where that is longer: a clock may be ahead."""
        return max(self._node.get_clock().now().nanoseconds - frame.stamp, arrival_time(self._node) - frame.arrived)

    def is_unsatisfiable(self, query: Query) -> bool:
        """Whether no frame can come any more: the stamp is a past one, and no image has it."""
        stamp = query.request.image_stamp
        return 0 < stamp < (self._buffer.newest_stamp or 0) and self._buffer.at(stamp) is None

    def is_overdue(self, query: Query) -> bool:
        """Whether a query has waited for image_timeout, also for a frame that was there and is gone again."""
        now, timeout = time.perf_counter(), query.request.parameters.image_timeout
        is_completing = query.frame_seen is not None and now - query.frame_seen <= _COMPLETION_WAIT
        return query.frame is None and not is_completing and now - query.waiting_since > timeout

    def why_none(self, query: Query) -> str:
        """Message of a query that found no frame: the reason and the remedy."""
        parameters = query.request.parameters
        stamps, refusal = self._buffer.range, self._buffer.refusal("image")
        if stamps is None:
            waited = f"no image within {parameters.image_timeout:g} s"
            if refusal:
                return f"{waited}; the last one was refused: {refusal}"
            hint = self._subscribers.hint("image")
            return f"{waited}; {hint or 'is a camera running, and its topic remapped to `image`?'}"
        if query.request.image_stamp:
            oldest, newest = (f"{stamp / SECOND:.3f}" for stamp in stamps)
            asked = f"no image is stamped {query.request.image_stamp / SECOND:.3f} s"
            return f"{asked}; the buffer holds {oldest} to {newest} s"
        last = self._buffer.last
        age = self.age(last) / SECOND
        stale = f"the newest image is {age:.1f} s old, max_image_age is {parameters.max_image_age:g} s"
        if refusal:
            return f"{stale}; later ones were refused: {refusal}"
        return f"{stale}: {self._why_stale(last, query)}"

    def _why_stale(self, last: CameraFrame, query: Query) -> str:
        waited = arrival_time(self._node) - last.arrived
        if waited > query.request.parameters.max_image_age * SECOND:
            stopped = f"none has come for {waited / SECOND:.1f} s, the camera stopped"
            return "; ".join(filter(None, (stopped, last.clock_remark)))
        return (
            f"it came {waited / SECOND:.1f} s ago, stamped {-last.lead / SECOND:.1f} s in the past: it was long on its "
            "way, or the camera's clock is behind this node's (synchronise them; a bag needs use_sim_time)"
        )

    def _is_stale(self, frame: CameraFrame, query: Query) -> bool:
        limit = query.request.parameters.max_image_age
        return limit > 0 and self.age(frame) > limit * SECOND

    def _is_incomplete(self, frame: CameraFrame, query: Query) -> bool:
        """Whether depth or calibration of the image may still arrive."""
        if not query.request.with_cloud or time.perf_counter() - query.frame_seen >= _COMPLETION_WAIT:
            return False
        return any(self._subscribers.publishers(stream) > 0 for stream in _missing(frame))

    def _with_hints(self, frame: CameraFrame, query: Query) -> CameraFrame:
        missing = _missing(frame) if query.request.with_cloud else []
        hints = {stream: self._subscribers.hint(stream) for stream in missing}
        return replace(frame, hints=hints) if any(hints.values()) else frame


def _missing(frame: CameraFrame) -> list[str]:
    return [stream for stream, message in (("depth", frame.depth), ("info", frame.info)) if message is None]
