"""A followed query: its targets in every frame, until it is cancelled."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rclpy.node import Node

from lisa_ros.action import Segment
from lisa_ros.client.conversion import read_result
from lisa_ros.client.executors import ClientCallbackGroup, waiting_for_result
from lisa_ros.client.query_handle import QueryHandle
from lisa_ros.client.results import PerceptionResult, QueryStatus
from lisa_ros.errors import FollowingEndedError
from lisa_ros.types import LOST, SEGMENTED


@dataclass(frozen=True)
class FollowedFrame:
    """What is seen in one image, and what has changed since the frame that was given before.

    Attributes:
        result: As of a query about that image, without `cloud` and `scene_cloud`. Each target that is there or lost
            has its `id`.
        new: Ids that were in no frame before.
        lost: Ids that were seen in the frame before and are not any more.
        found_again: Ids that were not seen in the frame before, but in one before that.
    """

    result: PerceptionResult
    new: frozenset[int]
    lost: frozenset[int]
    found_again: frozenset[int]

    @property
    def is_answered(self) -> bool:
        """Whether the model answered about this very image; otherwise the targets were followed to it."""
        return self.result.stamp == self.result.answer_stamp

    @property
    def seen(self) -> frozenset[int]:
        """Ids that are seen in this image."""
        return frozenset(target.id for target in self.result.targets if target.kind == SEGMENTED and target.id)

    @property
    def missing(self) -> frozenset[int]:
        """Ids that are reported as lost in this image; one that is lost for long is reported no more."""
        return frozenset(target.id for target in self.result.targets if target.kind == LOST)


class FollowHandle(QueryHandle):
    """What `PerceptionClient.follow` returns. All methods may be called from any thread.

    Iterate over it for the frames. Whoever is slower than the camera gets the newest frame each time; what is new,
    lost and found again counts from the frame that was given before. As a context manager it cancels at the end, which
    leaving the loop alone does not.

    The class is also a `QueryHandle`: `cancel`, `done`, `future`, and `result` for how it ended.
    """

    def __init__(
        self,
        goal: Segment.Goal,
        timeout: float,
        on_frame: Callable[[FollowedFrame], None] | None,
        node: Node,
        group: ClientCallbackGroup,
        wake: Callable[[], None],
    ):
        """Made by the client.

        Args:
            goal: What is followed.
            timeout: s that may pass without a frame.
            on_frame: Called with each frame in the executor's thread, in place of the iteration.
            node: The client's node.
            group: The client's callbacks.
            wake: Makes the client look after its queries soon.
        """
        super().__init__(goal, timeout, None, node, group, wake)
        self._on_frame, self._heard = on_frame, time.monotonic()
        self._results: deque[PerceptionResult] = deque(maxlen=1)  # the newest that was not given yet
        self._known: frozenset[int] = frozenset()
        self._seen: frozenset[int] = frozenset()

    @property
    def deadline(self) -> float:
        """Monotonic time at which the next frame must be there."""
        return self._heard + self.timeout

    def __iter__(self) -> Iterator[FollowedFrame]:
        """Each newest frame; ends when following was cancelled here.

        Raises:
            FollowingEndedError: It ended otherwise; the message says how, and `result` has the result.
            NoResultError: As `result`.
        """
        while True:
            is_over = self.done()  # before looking for more: the last frame comes before the end
            if self._results:
                yield self._frame(self._results.popleft())
            elif not is_over:
                with waiting_for_result(self._node.executor, self._group):
                    self._wait(lambda: self.done() or bool(self._results))
            else:
                break
        result = self.future.result()
        if not (self.is_cancel_requested and result.status is QueryStatus.CANCELLED):
            raise FollowingEndedError(
                f"{self.query!r} is not followed any more: {result.status.name}, {result.message}"
            )

    def __enter__(self) -> "FollowHandle":
        """The handle itself."""
        return self

    def __exit__(self, *_):
        """Cancels; nothing happens where it has ended already."""
        self.cancel()

    def receive_feedback(self, message: Segment.Feedback):
        """Takes feedback of the node in; what comes after the end or after `cancel` is dropped."""
        self._heard = time.monotonic()
        if message.stage != Segment.Feedback.FOLLOWING:
            super().receive_feedback(message)
        elif not (self.done() or self.is_cancel_requested):
            self._receive_frame(message)

    def _receive_frame(self, message: Segment.Feedback):
        try:
            result = read_result(message.result)
            if self._on_frame is not None:
                self._on_frame(self._frame(result))
                return
        except Exception as error:  # noqa: BLE001 - the caller's own code, or another version of the node
            self.fail(error)
            return
        with self._changed:
            self._results.append(result)
            self._changed.notify_all()

    def _frame(self, result: PerceptionResult) -> FollowedFrame:
        frame = FollowedFrame(result, frozenset(), frozenset(), frozenset())
        seen, before, known = frame.seen, self._seen, self._known
        self._seen, self._known = seen, known | seen
        return FollowedFrame(result, seen - known, before - seen, (seen - before) & known)
