"""A query that was asked: its feedback, its result, and the way to cancel it."""

import threading
import time
from collections.abc import Callable, Generator, Iterator
from uuid import uuid4

from rclpy.node import Node
from rclpy.task import Future

from lisa_ros.action import Segment
from lisa_ros.client.executors import ClientCallbackGroup, waiting_for_result
from lisa_ros.client.results import PerceptionResult, QueryFeedback, QueryStage
from lisa_ros.errors import BlockingCallError, ClientClosedError

_GRACE = 2.0  # s after the timeout, in which the executor should have noticed it
_SLICE = 0.5  # s


class QueryHandle:
    """What `PerceptionClient.ask_async` returns. All methods may be called from any thread.

    `await handle` gives the result in an `async def` callback, `handle.result()` waits for it, and `for feedback in
    handle` iterates over the feedback until the result is there.

    Attributes:
        query: The words; of phrases all of them.
        future: rclpy Future of the `PerceptionResult`, for done callbacks and `rclpy.spin_until_future_complete`. Its
            exception is what `result` raises. To stop a query call `cancel` here: rclpy's `Future.cancel` forgets the
            result and lets the node go on.
    """

    def __init__(
        self,
        goal: Segment.Goal,
        timeout: float,
        on_feedback: Callable[[QueryFeedback], None] | None,
        node: Node,
        group: ClientCallbackGroup,
        wake: Callable[[], None],
    ):
        """Made by the client.

        Args:
            goal: What is asked.
            timeout: s from now, until the result must be there.
            on_feedback: Called with each feedback in the executor's thread.
            node: The client's node.
            group: The client's callbacks.
            wake: Makes the client look after its queries soon.
        """
        self.query, self.goal, self.goal_id = goal.query or ", ".join(goal.phrases), goal, list(uuid4().bytes)
        self.future: Future = Future()
        self.timeout, self.started = timeout, time.monotonic()
        self.is_cancel_requested = False
        self._on_feedback, self._node, self._group, self._wake = on_feedback, node, group, wake
        self._changed = threading.Condition()
        self._has_outcome = False
        self._feedback: list[QueryFeedback] = []
        self._text = ""

    @property
    def deadline(self) -> float:
        """Monotonic time at which the result must be there."""
        return self.started + self.timeout

    @property
    def stage(self) -> QueryStage | None:
        """Stage of the last feedback; None before the first one."""
        return self._feedback[-1].stage if self._feedback else None

    # -- for whoever asked

    def done(self) -> bool:
        """Whether the result, or the reason why there is none, is there."""
        return self.future.done()

    def cancel(self):
        """Asks the node to stop.

        There is no feedback from now on. The result comes all the same: CANCELLED, or another one where the node was
        faster.
        """
        with self._changed:
            if self.is_cancel_requested or self.done():
                return
            self.is_cancel_requested = True
        self._wake()

    def result(self) -> PerceptionResult:
        """Waits for the result.

        Returns:
            The result, whatever its status.

        Raises:
            NoResultError: There is none; the class says why (see `lisa_ros.errors`): ServerUnavailableError,
                ServerLostError, GoalRejectedError, QueryTimeoutError, ClientClosedError.
            BlockingCallError: A result that has not come yet could not come while this call waits.
            Exception: What `on_feedback` raised.
        """
        if not self.done():
            with waiting_for_result(self._node.executor, self._group):
                while not self.done():
                    self._wait(self.done)
        return self.future.result()

    def __iter__(self) -> Iterator[QueryFeedback]:
        """Each feedback, from the first one on, as it comes; ends when `result` has something to return or raise."""
        position, is_last = 0, False
        while not is_last:
            is_last = self.done()  # before looking for more: the last feedback comes before the result
            while position < len(self._feedback):
                yield self._feedback[position]
                position += 1
            if not is_last:
                with waiting_for_result(self._node.executor, self._group):
                    self._wait(lambda position=position: self.done() or len(self._feedback) > position)

    def __await__(self) -> Generator[None, None, PerceptionResult]:
        """The result; raises what `result` raises."""
        return self.future.__await__()

    # -- for the client

    def receive_feedback(self, message: Segment.Feedback):
        """Takes feedback of the node in; what comes after the result or after `cancel` is dropped."""
        self._add_feedback(QueryStage(message.stage), message.text, message.masks)

    def complete(self, result: PerceptionResult) -> bool:
        """Sets the result; False where the query was done already."""
        if result.answer != self._text and result.answer.startswith(self._text) and self._feedback:
            last = self._feedback[-1]  # the node sends words a few times a second: the last ones may be missing
            self._add_feedback(last.stage, result.answer, last.masks)
        return self._finish(lambda: self.future.set_result(result))

    def fail(self, error: Exception) -> bool:
        """Sets the reason why there is no result; False where the query was done already."""
        return self._finish(lambda: self.future.set_exception(error))

    def _add_feedback(self, stage: QueryStage, text: str, masks: int):
        with self._changed:
            if self._has_outcome or self.is_cancel_requested:
                return
            if self._text.startswith(text):  # a stage without words, or the answer without the space at its end
                text = self._text
            delta, self._text = text.removeprefix(self._text), text
            feedback = QueryFeedback(stage, text, delta, masks)
            self._feedback.append(feedback)
            self._changed.notify_all()
        if self._on_feedback is None:
            return
        try:
            self._on_feedback(feedback)
        except Exception as error:  # noqa: BLE001 - the caller's own code: raised where the caller waits
            self.fail(error)

    def _finish(self, set_outcome: Callable[[], None]) -> bool:
        with self._changed:
            if self._has_outcome:
                return False
            self._has_outcome = True
        set_outcome()
        with self._changed:
            self._changed.notify_all()
        self._wake()
        return True

    def _wait(self, condition: Callable[[], bool]):
        """Waits until a condition holds, or a moment, after which the caller asks again."""
        with self._changed:
            self._changed.wait_for(condition, _SLICE)
        if condition():
            return
        if not self._node.context.ok():
            self.fail(ClientClosedError(f"rclpy was shut down while {self.query!r} was asked"))
        elif time.monotonic() > self.deadline + _GRACE:
            self.fail(
                BlockingCallError(
                    f"no result for {self.query!r}, and {self.timeout:g} s have passed without the executor of the "
                    "client's node noticing: nothing spins it, or all of its threads are blocked; spin the node, or "
                    "use a stand-alone client (without node=)"
                )
            )
