"""The front server: takes queries in, binds them to images, hands them to the worker, gives each exactly one result.

Runs in the executor's thread and never blocks; the worker's thread comes back through `post`. No rclpy.
"""

import traceback
from collections.abc import Callable
from typing import Any

from lisa_ros.action import Segment
from lisa_ros.errors import (
    InvalidImageError,
    InvalidQueryError,
    InvalidRegionError,
    LisaError,
    MemoryBudgetError,
    QueryCancelled,
)
from lisa_ros.msg import SegmentationResult as Result
from lisa_ros.nodes.common.stamps import SECOND
from lisa_ros.nodes.common.throttled_log import ThrottledLog
from lisa_ros.nodes.perception.frames.frame_buffer import CameraFrame
from lisa_ros.nodes.perception.inference.inference_session import InferenceOutput, InferenceSession
from lisa_ros.nodes.perception.inference.model_manager import ModelManager
from lisa_ros.nodes.perception.parameters import PerceptionParameters
from lisa_ros.nodes.perception.queries.conversations import Conversations
from lisa_ros.nodes.perception.queries.frame_poses import freeze_poses
from lisa_ros.nodes.perception.queries.frame_selector import FrameSelector
from lisa_ros.nodes.perception.queries.query import STANDING, Query, check_text
from lisa_ros.nodes.perception.queries.query_queue import QueryQueue
from lisa_ros.nodes.perception.queries.query_statistics import QueryStatistics
from lisa_ros.nodes.perception.results.result_builder import ResultMessages, build_answered, build_unanswered
from lisa_ros.nodes.perception.server.query_feedback import progress_reporter, send_feedback, stall_reason

_STATUS = {
    QueryCancelled: Result.CANCELLED,
    InvalidQueryError: Result.REJECTED,
    InvalidImageError: Result.NO_IMAGE,
    MemoryBudgetError: Result.OUT_OF_MEMORY,
    MemoryError: Result.OUT_OF_MEMORY,
}


class QueryServer:
    """What it needs of the node comes as calls, so that it can be read and tested without one.

    parameters() gives the parameters of the moment, now() the node clock in ns; publish(messages) publishes a result;
    find_pose(frame, parameters) as `CameraTransforms.find`, find_depth_pose as its find_depth; post(call) runs a call
    in the executor's thread soon; is_wanted(topic) as in `ResultPublishers`.
    """

    def __init__(
        self,
        *,
        parameters: Callable[[], PerceptionParameters],
        now: Callable[[], int],
        post: Callable[[Callable], None],
        publish: Callable[[ResultMessages], None],
        find_pose: Callable[[CameraFrame, PerceptionParameters], Any],
        find_depth_pose: Callable[[CameraFrame, PerceptionParameters], Any],
        is_wanted: Callable[[str], bool],
        selector: FrameSelector,
        model: ModelManager,
        statistics: QueryStatistics,
        logger,
    ):
        self._parameters, self._now, self._post, self._publish = parameters, now, post, publish
        self._find_pose, self._find_depth_pose = find_pose, find_depth_pose
        self._is_wanted, self._selector = is_wanted, selector
        self._model, self._statistics, self._log = model, statistics, logger
        # A standing query may end, and words and goals come, many times a second.
        self._log_often = ThrottledLog(lambda text: logger.info(text))
        self._log_trace = ThrottledLog(lambda text: logger.error(text))
        self._queue = QueryQueue()
        self._conversations = Conversations()
        self._standing_asked = ("", 0)  # words and image stamp of the last standing query
        self._standing_refused = ""
        self.active = False

    def new_query(self, text: str, source: str, with_cloud: bool) -> Query:
        """A query that has arrived now."""
        return Query(text, source, self._parameters(), self._now(), with_cloud)

    def reject_if_full(self, query: Query) -> bool:
        """Whether there is no room for an action goal; then its result is out already."""
        waiting, room = self._queue.goals_waiting(), query.parameters.queue_size
        if not self.active:
            reason = "the node is not active; activate it (ros2 lifecycle set NODE activate)"
        elif not self._queue.is_preemptible and waiting >= room:
            reason = f"the queue is full: {waiting} goals wait, queue_size is {room}; ask again later"
        else:
            return False
        self._publish_result(query, build_unanswered(query, Result.REJECTED, reason))
        return True

    def submit(self, query: Query):
        """Takes a query in; its result comes later, or now where it cannot be asked."""
        if reason := self._why_not(query):
            return self._publish_result(query, build_unanswered(query, Result.REJECTED, reason))
        for old in self._queue.add(query):
            reason = f"superseded by the newer query {query.query_id}"
            self._publish_result(old, build_unanswered(old, Result.CANCELLED, reason))
        send_feedback(query, Segment.Feedback.QUEUED)
        self._bind(query)
        self._start()

    def try_submit(self, query: Query) -> str:
        """As `submit`, but a query that cannot be asked gets no result: the reason is returned, else ""."""
        reason = self._why_not(query)
        if not reason and any(query.query_id == other.query_id for other in self._queue.everything()):
            reason = f"query_id {query.query_id!r} is in use: its result is still to come"
        if reason:
            self._statistics.count(Result.REJECTED)
        else:
            self.submit(query)
        return reason

    def _why_not(self, query: Query) -> str:
        try:
            check_text(query.text, query.parameters.max_query_length)
        except InvalidQueryError as error:
            return str(error)
        return query.invalid or ("" if self.active else "the node is not active; activate it")

    def cancel(self, query: Query, reason: str):
        """Ends a query as CANCELLED, unless it has a result already."""
        self._queue.drop(query)
        self._publish_result(query, build_unanswered(query, Result.CANCELLED, reason))
        self._start()

    def cancel_later(self, query: Query, reason: str):
        """As `cancel`, after the callback that runs now."""
        self._post(lambda: self.cancel(query, reason))

    def cancel_all(self, reason: str) -> int:
        """Ends all queries as CANCELLED; returns how many."""
        queries = self._queue.everything()
        for query in queries:
            self._queue.drop(query)
            self._publish_result(query, build_unanswered(query, Result.CANCELLED, reason))
        return len(queries)

    def forget(self) -> int:
        """Forgets all conversations; returns how many."""
        count = self._conversations.forget()
        self._model.submit(lambda session: session.keep_conversations(frozenset()))
        return count

    def on_image(self):
        """An image was filed: queries may have waited for it, and the standing query is about every newest one."""
        self._bind_waiting()
        self._ask_standing()

    def tick(self):
        """Ends queries whose image does not come, and all of them where the model does not come back."""
        self._watch_model()
        self._bind_waiting()
        for query in [query for query in self._queue.pending if self._selector.is_overdue(query)]:
            self._give_up(query)

    def _watch_model(self):
        query = self._queue.running
        if query is None:
            return
        reason = stall_reason(query)
        if reason and not self._statistics.stalled:
            self._log.error(f"{reason}; it hangs in query {query.query_id} {query.text[:80]!r}")
            self._conversations.forget(query.conversation_id)
        self._statistics.stalled = reason  # "" again where it came back within its query
        if not reason:
            return
        for owed in self._queue.everything():
            self._queue.drop(owed)
            self._publish_result(owed, build_unanswered(owed, Result.MODEL_ERROR, self._statistics.stalled))

    def _bind_waiting(self):
        waiting = [query for query in self._queue.pending if query.frame is None]
        for query in waiting:
            self._bind(query)
        if waiting:
            self._start()

    def _give_up(self, query: Query):
        self._queue.drop(query)
        self._publish_result(query, build_unanswered(query, Result.NO_IMAGE, self._selector.why_none(query)))

    def _bind(self, query: Query):
        """Freezes what the query is about: the image, and the depth, intrinsics and pose of its moment."""
        earlier = self._conversations.get(query.conversation_id)
        if reason := self._conversations.why_not(query):
            self._queue.drop(query)
            return self._publish_result(query, build_unanswered(query, Result.REJECTED, reason))
        query.frame = earlier.frame if earlier else self._selector.find(query)
        query.region = earlier.region if earlier else query.region
        if query.frame is None:
            if self._selector.is_unsatisfiable(query):
                self._give_up(query)
            return
        if query.with_cloud:
            freeze_poses(query, earlier, self._find_pose, self._find_depth_pose)
        if query.conversation_id:
            self._conversations.keep(query, query.parameters.max_conversations)

    def _ask_standing(self):
        text = self._parameters().standing_query
        if text != self._standing_refused:
            self._standing_refused = ""
        if not text or text == self._standing_refused or not (self.active and self._queue.idle):
            return
        newest = self._selector.newest()
        if newest is not None and self._standing_asked != (text, newest.stamp):
            self._standing_asked = text, newest.stamp
            self.submit(self.new_query(text, STANDING, self._parameters().with_cloud))

    def _start(self):
        query = self._queue.start_next() if self.active else None
        if query is None:
            return
        query.wants_overlay, query.wants_scene = self._is_wanted("overlay"), self._is_wanted("scene_points")
        kept = self._conversations.ids
        self._model.submit(lambda session: self._work(session, query, kept)).add_done_callback(
            lambda future: self._post(lambda: self._on_worked(query, future))
        )

    def _work(
        self, session: InferenceSession, query: Query, kept: frozenset[str]
    ) -> tuple[ResultMessages, InferenceOutput, dict]:
        """In the model's thread."""
        session.keep_conversations(kept)
        answer = session.answer(query, progress_reporter(query, self._post))
        return build_answered(query, answer, session.provenance), answer, session.memory()

    def _on_worked(self, query: Query, future):
        self._queue.release()
        self._statistics.stalled = ""
        error = future.exception()  # that of an abandoned thread too
        if error is None:
            answered, answer, memory = future.result()
            self._statistics.note_stages(answer.seconds)
            for remark in self._statistics.note_remarks(answer.remarks):
                self._log.warning(f"{remark} (said once)")
            self._statistics.memory = memory
            self._publish_result(query, answered)
        elif not query.finished:
            self._fail(query, error)
        self._start()
        self._ask_standing()

    def _fail(self, query: Query, error: BaseException):
        status = next((status for kind, status in _STATUS.items() if isinstance(error, kind)), Result.MODEL_ERROR)
        # A conversation stays with its image and region: one that cannot be read, or is not in it, gets no answer.
        is_unsatisfiable = status in (Result.MODEL_ERROR, Result.OUT_OF_MEMORY, Result.NO_IMAGE)
        if query.conversation_id and (is_unsatisfiable or isinstance(error, InvalidRegionError)):
            self._conversations.forget(query.conversation_id)
        if not isinstance(error, LisaError):
            trace = "".join(traceback.format_exception(error))
            what = f"query {query.query_id} {query.text[:80]!r} failed with an unexpected error; the node goes on"
            self._log_trace(type(error).__name__, f"{what}\n{trace}")
        self._publish_result(query, build_unanswered(query, status, str(error) or type(error).__name__))

    def _publish_result(self, query: Query, answered: ResultMessages):
        if query.finished:
            return
        query.finished = True
        result = answered.result
        if query.frame is not None:
            _set_age(result, self._selector.age(query.frame))
        self._statistics.count(result.status)
        if result.status == Result.REJECTED:
            self._statistics.last_rejection = result.message
        if query.source == STANDING and result.status == Result.REJECTED:
            self._standing_refused = query.text  # once is enough
        self._log_result(query, result)
        try:
            self._publish(answered)
        finally:
            if query.on_done is not None:
                query.on_done(result)

    def _log_result(self, query: Query, result: Result):
        if query.source == STANDING:
            self._log_often(STANDING, _summary(query, result))
        elif result.status in (Result.REJECTED, Result.CANCELLED):
            self._log_often(f"{query.source} {result.status}", _summary(query, result))
        else:
            self._log.info(_summary(query, result))


def _set_age(result: Result, age: int):
    result.image_age.sec, result.image_age.nanosec = age // SECOND, age % SECOND


def _summary(query: Query, result: Result) -> str:
    outcome = f"query {query.query_id} ({query.source}) {query.text[:80]!r}: status {result.status}"
    if result.status == Result.OK:
        outcome += f", {len(result.targets)} targets, {result.answer[:120]!r}"
    return outcome + (f", {result.message[:300]}" if result.message else "")
