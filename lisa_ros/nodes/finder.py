"""Which image a query is about, and why there is none. No rclpy."""

import time
from collections.abc import Callable

from lisa_ros.nodes.frame_buffer import SECOND, Bundle, FrameBuffer
from lisa_ros.nodes.queries import Query

_COMPLETION_WAIT = 0.3  # s that a query waits for depth and camera_info of an image that is there already


class ImageFinder:
    """now() gives the node clock in ns; has_publisher(stream) says whether anybody publishes "depth" or "info"."""

    def __init__(self, buffer: FrameBuffer, now: Callable[[], int], has_publisher: Callable[[str], bool]):
        self._buffer, self._now, self._has_publisher = buffer, now, has_publisher

    def newest(self) -> Bundle | None:
        """The newest image of any age."""
        return self._buffer.newest()

    def find(self, query: Query) -> Bundle | None:
        """The image at the query's stamp, or the newest; None where it is not there yet, too old or incomplete."""
        bundle = self._buffer.at(query.image_stamp) if query.image_stamp else self._buffer.newest()
        if bundle is None or (not query.image_stamp and self._is_stale(bundle, query)):
            return None
        if query.seen is None:
            query.seen = time.perf_counter()
        return None if self._is_early(bundle, query) else bundle

    def is_hopeless(self, query: Query) -> bool:
        """Whether waiting is in vain: the stamp is a past one, and no image has it."""
        newest = self._buffer.newest_stamp
        return 0 < query.image_stamp < (newest or 0) and self._buffer.at(query.image_stamp) is None

    def is_overdue(self, query: Query) -> bool:
        """Whether a query has waited for long enough for an image, also for one that was there and is gone again."""
        now = time.perf_counter()
        is_completing = query.seen is not None and now - query.seen <= _COMPLETION_WAIT
        return query.bundle is None and not is_completing and now - query.waiting_since > query.settings.image_timeout

    def why_none(self, query: Query) -> str:
        """What to tell a person whose query found no image."""
        stamps, refusal = self._buffer.range, self._buffer.refusal("image")
        if stamps is None:
            waited = f"no image within {query.settings.image_timeout:g} s"
            if refusal:
                return f"{waited}; the last one was refused: {refusal}"
            return f"{waited}; is a camera running, and its topic remapped to `image`?"
        if query.image_stamp:
            oldest, newest = (f"{stamp / SECOND:.3f}" for stamp in stamps)
            return f"no image is stamped {query.image_stamp / SECOND:.3f} s; the buffer holds {oldest} to {newest} s"
        age = (self._now() - stamps[1]) / SECOND
        stale = f"the newest image is {age:.1f} s old, max_image_age is {query.settings.max_image_age:g} s"
        if refusal:
            return f"{stale}; later ones were refused: {refusal}"
        return f"{stale}: the camera stopped, or it is stamped by another clock than this node's (use_sim_time?)"

    def _is_stale(self, bundle: Bundle, query: Query) -> bool:
        limit = query.settings.max_image_age
        return limit > 0 and self._now() - bundle.stamp > limit * SECOND

    def _is_early(self, bundle: Bundle, query: Query) -> bool:
        """Whether depth or intrinsics of the image are still on their way."""
        missing = [stream for stream, message in (("depth", bundle.depth), ("info", bundle.info)) if message is None]
        waited = time.perf_counter() - query.seen
        return query.with_cloud and waited < _COMPLETION_WAIT and any(map(self._has_publisher, missing))
