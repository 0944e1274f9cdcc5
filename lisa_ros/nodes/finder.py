"""Which image a query is about, how old it is, and why there is none. No rclpy."""

import time
from collections.abc import Callable
from dataclasses import replace

from lisa_ros.nodes.frame_buffer import SECOND, Bundle, FrameBuffer
from lisa_ros.nodes.queries import Query

_COMPLETION_WAIT = 0.3  # s that a query waits for depth and camera_info of an image that is there already
AHEAD = SECOND // 2  # a stamp that is ahead of the node clock by more than this is told; less is jitter of clocks


class ImageFinder:
    """now() gives the node clock in ns, arrival() the clock of arrivals, which no correction of the time of day moves.

    inputs() gives the node's `Inputs`, None while it has none.
    """

    def __init__(self, buffer: FrameBuffer, now: Callable[[], int], arrival: Callable[[], int], inputs: Callable):
        self._buffer, self._now, self._arrival, self._inputs = buffer, now, arrival, inputs

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
        return None if self._is_early(bundle, query) else self._explained(bundle, query)

    def age(self, bundle: Bundle) -> int:
        """ns since the image was taken by its stamp, or since it arrived where that is longer: a clock may be ahead."""
        return max(self._now() - bundle.stamp, self._arrival() - bundle.arrived)

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
            return f"{waited}; {self._hint('image') or 'is a camera running, and its topic remapped to `image`?'}"
        if query.image_stamp:
            oldest, newest = (f"{stamp / SECOND:.3f}" for stamp in stamps)
            return f"no image is stamped {query.image_stamp / SECOND:.3f} s; the buffer holds {oldest} to {newest} s"
        last = self._buffer.last
        stale = f"the newest image is {self.age(last) / SECOND:.1f} s old, max_image_age is "
        stale += f"{query.settings.max_image_age:g} s"
        if refusal:
            return f"{stale}; later ones were refused: {refusal}"
        return f"{stale}: {self._why_stale(last, query)}"

    def _why_stale(self, last: Bundle, query: Query) -> str:
        waited = self._arrival() - last.arrived
        if waited > query.settings.max_image_age * SECOND:
            remark = clock_remark(last)
            return f"none has come for {waited / SECOND:.1f} s, the camera stopped" + (f"; {remark}" if remark else "")
        return (
            f"it came {waited / SECOND:.1f} s ago, stamped {-last.lead / SECOND:.1f} s in the past: it was long on its "
            "way, or the camera's clock is behind this node's (synchronise them; a bag needs use_sim_time)"
        )

    def _is_stale(self, bundle: Bundle, query: Query) -> bool:
        limit = query.settings.max_image_age
        return limit > 0 and self.age(bundle) > limit * SECOND

    def _is_early(self, bundle: Bundle, query: Query) -> bool:
        """Whether depth or intrinsics of the image are still on their way."""
        if not query.with_cloud or time.perf_counter() - query.seen >= _COMPLETION_WAIT:
            return False
        inputs = self._inputs()
        return inputs is not None and any(inputs.publishers(stream) > 0 for stream in _missing(bundle))

    def _explained(self, bundle: Bundle, query: Query) -> Bundle:
        hints = {stream: self._hint(stream) for stream in _missing(bundle)} if query.with_cloud else {}
        return replace(bundle, hints=hints) if any(hints.values()) else bundle

    def _hint(self, stream: str) -> str:
        inputs = self._inputs()
        return "" if inputs is None else inputs.hint(stream)


def clock_remark(bundle: Bundle) -> str:
    """What to say about an image whose stamp is in the future; "" where it is not."""
    if bundle.lead <= AHEAD:
        return ""
    return (
        f"the image is stamped {bundle.lead / SECOND:.1f} s ahead of this node's clock: its age is counted from its "
        "arrival, and TF of its stamp may be missing; synchronise the clocks of camera and node"
    )


def _missing(bundle: Bundle) -> list[str]:
    return [stream for stream, message in (("depth", bundle.depth), ("info", bundle.info)) if message is None]
