"""Sees every query through: accepts it, binds it to a frame, runs it in the inference thread, publishes one result.

Used in the executor's thread and never blocks; the inference thread comes back through the executor queue.
"""

import traceback
from dataclasses import replace

from rclpy.node import Node

from lisa_ros.action import Segment
from lisa_ros.errors import InvalidQueryError, InvalidRegionError, LisaError
from lisa_ros.msg import SegmentationResult as Result
from lisa_ros.nodes.common.executor_queue import ExecutorQueue
from lisa_ros.nodes.common.stamps import SECOND
from lisa_ros.nodes.common.throttled_log import ThrottledLog
from lisa_ros.nodes.perception.frames.camera_transforms import CameraTransforms
from lisa_ros.nodes.perception.frames.frame_poses import FramePoses
from lisa_ros.nodes.perception.inference.inference_session import InferenceOutput, InferenceSession
from lisa_ros.nodes.perception.inference.model_manager import ModelManager
from lisa_ros.nodes.perception.parameter_listener import ParameterListener
from lisa_ros.nodes.perception.queries.conversations import Conversations
from lisa_ros.nodes.perception.queries.frame_selector import FrameSelector
from lisa_ros.nodes.perception.queries.query import STANDING, Query, QueryRequest, QueryState, check_words
from lisa_ros.nodes.perception.queries.query_queue import QueryQueue
from lisa_ros.nodes.perception.queries.query_statistics import QueryStatistics
from lisa_ros.nodes.perception.queries.standing_query import StandingQuery
from lisa_ros.nodes.perception.results.result_builder import ResultMessages, build_answered, build_unanswered
from lisa_ros.nodes.perception.results.result_publishers import ResultPublishers
from lisa_ros.nodes.perception.server.error_status import status_of
from lisa_ros.nodes.perception.server.followed_goal import FollowedGoal
from lisa_ros.nodes.perception.server.query_feedback import progress_reporter, send_feedback, stall_reason
from lisa_ros.nodes.perception.server.result_log import ResultLog


class QueryServer:
    """Takes queries while `active` is True; node gives its clock and logger."""

    def __init__(
        self,
        node: Node,
        parameters: ParameterListener,
        frame_selector: FrameSelector,
        transforms: CameraTransforms,
        model: ModelManager,
        publishers: ResultPublishers,
        statistics: QueryStatistics,
        executor_queue: ExecutorQueue,
    ):
        self._node, self._log = node, node.get_logger()
        self._parameters, self._frame_selector, self._transforms = parameters, frame_selector, transforms
        self._model, self._publishers, self._statistics = model, publishers, statistics
        self._executor_queue = executor_queue
        self._result_log = ResultLog(self._log)
        self._log_trace = ThrottledLog(lambda text: self._log.error(text))
        self._queue = QueryQueue()
        self._conversations = Conversations()
        self._standing, self._followed = StandingQuery(), FollowedGoal()
        self.active = False

    def new_request(self, text: str, source: str, with_cloud: bool) -> QueryRequest:
        """A request that has arrived now."""
        received = self._node.get_clock().now().nanoseconds
        return QueryRequest(text, source, self._parameters.current(), received, with_cloud)

    def reject_if_full(self, request: QueryRequest) -> bool:
        """Whether an action goal has to be rejected; its result is published then."""
        waiting, limit = self._queue.goals_waiting(), request.parameters.queue_size
        if not self.active:
            reason = "the node is not active; activate it (ros2 lifecycle set NODE activate)"
        elif not self._queue.is_preemptible and waiting >= limit:
            reason = f"the queue is full: {waiting} goals wait, queue_size is {limit}; ask again later"
        else:
            return False
        self._end(Query(request), Result.REJECTED, reason)
        return True

    def submit(self, query: Query):
        """Accepts a query; its result is published later, or now where it is rejected."""
        if reason := self._rejection(query.request):
            return self._end(query, Result.REJECTED, reason)
        if query.request.with_cloud:  # its own target_frame may need TF where the node's does not
            self._transforms.open(query.request.parameters)
        if query.request.follow:
            return self._follow(query)
        for old in self._queue.add(query):
            self._end(old, Result.CANCELLED, f"superseded by the newer query {query.request.query_id}")
        send_feedback(query, Segment.Feedback.QUEUED)
        self._bind(query)
        self._start_next()

    def _follow(self, goal: Query):
        if self._followed.query is not None:
            newer = f"superseded by the newer followed goal {goal.request.query_id}"
            self._end(self._followed.query, Result.CANCELLED, newer)
        self._followed.begin(goal)
        send_feedback(goal, Segment.Feedback.QUEUED)
        self._ask_standing()

    def try_submit(self, query: Query) -> str:
        """As `submit`, but a query that is rejected gets no result: the reason is returned, "" where it is accepted."""
        reason, query_id = self._rejection(query.request), query.request.query_id
        if not reason and any(query_id == other.request.query_id for other in self._queue.unfinished()):
            reason = f"query_id {query_id!r} is in use: its result is still to come"
        if reason:
            self._statistics.count(Result.REJECTED)
        else:
            self.submit(query)
        return reason

    def _rejection(self, request: QueryRequest) -> str:
        try:
            check_words(request)
        except InvalidQueryError as error:
            return str(error)
        return request.invalid or ("" if self.active else "the node is not active; activate it")

    def cancel(self, query: Query, reason: str):
        """Ends a query as CANCELLED, unless it has a result already."""
        self._queue.drop(query)
        self._end(query, Result.CANCELLED, reason)
        self._start_next()

    def cancel_later(self, query: Query, reason: str):
        """As `cancel`, after the callback that runs now."""
        self._executor_queue.post(lambda: self.cancel(query, reason))

    def cancel_all(self, reason: str) -> int:
        """Ends all queries as CANCELLED; returns how many."""
        return self._end_all(Result.CANCELLED, reason)

    def forget_conversations(self) -> int:
        """Forgets all conversations; returns how many."""
        count = self._conversations.forget()
        self._model.submit(lambda session: session.keep_conversations(frozenset()))
        return count

    def on_image(self):
        """To be called after each image: queries may wait for it, and the standing query is about every newest one."""
        self._bind_waiting()
        self._ask_standing()

    def on_timer(self):
        """To be called regularly: ends queries whose frame does not come, and all of them where the model stalls."""
        self._check_model()
        self._bind_waiting()
        for query in [query for query in self._queue.pending if self._frame_selector.is_overdue(query)]:
            self._end_without_frame(query)
        if not self._queue.is_idle:
            self._followed.note_busy()
        elif reason := self._followed.overdue(self._frame_selector.why_none):
            self._end(self._followed.query, Result.NO_IMAGE, reason)

    def _check_model(self):
        query = self._queue.running
        if query is None:
            return
        reason = stall_reason(query)
        if reason and not self._statistics.stall:
            self._log.error(f"{reason}; it hangs in query {query.request.query_id} {query.request.text[:80]!r}")
            self._conversations.forget(query.request.conversation_id)
        self._statistics.stall = reason  # "" again where it came back within its query
        if reason:
            self._end_all(Result.MODEL_ERROR, reason)

    def _bind_waiting(self):
        waiting = [query for query in self._queue.pending if query.state is QueryState.WAITING]
        for query in waiting:
            self._bind(query)
        if waiting:
            self._start_next()

    def _bind(self, query: Query):
        """Binds a query to its frame and to the poses of that moment, where the frame is there."""
        request, earlier = query.request, self._conversations.get(query.request.conversation_id)
        if reason := self._conversations.mismatch(query):
            self._queue.drop(query)
            return self._end(query, Result.REJECTED, reason)
        frame = earlier.frame if earlier else self._frame_selector.find(query)
        if frame is None:
            if self._frame_selector.is_unsatisfiable(query):
                self._end_without_frame(query)
            return
        poses = None
        if request.with_cloud:
            poses = FramePoses(self._transforms, frame, request.parameters, earlier.poses if earlier else None)
        query.bind(frame, earlier.region if earlier else request.region, poses)
        if request.conversation_id:
            self._conversations.keep(query)

    def _ask_standing(self):
        goal = self._followed.query
        what = goal.request.query_id if goal is not None else self._parameters.current().standing_query
        if self._standing.is_open(what) and self.active and self._queue.is_idle:
            newest = self._frame_selector.newest()
            if newest is not None and self._standing.is_due(newest):
                self.submit(self._standing_query() if goal is None else self._followed_query())

    def _standing_query(self) -> Query:
        parameters = self._parameters.current()
        request = self.new_request(parameters.standing_query, STANDING, parameters.with_cloud)
        return Query(replace(request, followed_as=f"standing query {request.text}") if parameters.follow else request)

    def _followed_query(self) -> Query:
        return self._followed.next_query(self._node.get_clock().now().nanoseconds, self._end)

    def _start_next(self):
        query = self._queue.start_next() if self.active else None
        if query is None:
            return
        query.wants_overlay = self._publishers.is_wanted("overlay")
        query.wants_scene = self._publishers.is_wanted("scene_points")
        kept = self._conversations.ids
        self._model.submit(lambda session: self._run(session, query, kept)).add_done_callback(
            lambda future: self._executor_queue.post(lambda: self._on_run_ended(query, future))
        )

    def _run(
        self, session: InferenceSession, query: Query, kept: frozenset[str]
    ) -> tuple[ResultMessages, InferenceOutput, dict]:
        """In the inference thread."""
        session.keep_conversations(kept)
        output = session.answer(query, progress_reporter(query, self._executor_queue.post))
        return build_answered(query, output, session.provenance), output, session.memory()

    def _on_run_ended(self, query: Query, future):
        self._queue.release()
        self._statistics.stall = ""
        error = future.exception()  # that of an abandoned thread too
        if error is None:
            messages, output, memory = future.result()
            self._statistics.note_stages(output.seconds)
            for remark in self._statistics.note_remarks(output.remarks):
                self._log.warning(f"{remark} (said once)")
            self._statistics.memory = memory
            self._publish_result(query, messages)
        elif not query.is_done:
            self._end_failed(query, error)
        self._start_next()
        self._ask_standing()

    def _end_failed(self, query: Query, error: BaseException):
        request = query.request
        status = status_of(error)
        # A conversation stays with its frame and region: one that cannot be read, or is not in it, gets no answer.
        is_lost = status in (Result.MODEL_ERROR, Result.OUT_OF_MEMORY, Result.NO_IMAGE)
        if request.conversation_id and (is_lost or isinstance(error, InvalidRegionError)):
            self._conversations.forget(request.conversation_id)
        if not isinstance(error, LisaError):
            trace = "".join(traceback.format_exception(error))
            what = f"query {request.query_id} {request.text[:80]!r} failed with an unexpected error; the node continues"
            self._log_trace(type(error).__name__, f"{what}\n{trace}")
        self._end(query, status, str(error) or type(error).__name__)

    def _end_without_frame(self, query: Query):
        self._queue.drop(query)
        self._end(query, Result.NO_IMAGE, self._frame_selector.why_none(query))

    def _end_all(self, status: int, reason: str) -> int:
        queries = self._queue.unfinished()
        if self._followed.query is not None:
            queries.insert(0, self._followed.query)
        for query in queries:
            self._queue.drop(query)
            self._end(query, status, reason)
        return len(queries)

    def _end(self, query: Query, status: int, reason: str):
        self._publish_result(query, build_unanswered(query, status, reason))

    def _end_frame(self, goal: Query):
        """The followed goal has its result: what is asked about the newest frame is not wanted any more."""
        self._followed.query = None
        for query in self._queue.unfinished():
            if query.request.followed_as == goal.request.query_id:
                self._queue.drop(query)
                self._end(query, Result.CANCELLED, "the followed goal has ended")

    def _publish_result(self, query: Query, messages: ResultMessages):
        if query.is_done:
            return
        query.finish()
        if query is self._followed.query:
            self._end_frame(query)
        result = messages.result
        if query.frame is not None:
            age = self._frame_selector.age(query.frame)
            result.image_age.sec, result.image_age.nanosec = age // SECOND, age % SECOND
        self._statistics.count(result.status)
        if result.status == Result.REJECTED:
            self._statistics.last_rejection = result.message
            if query.request.source == STANDING:
                self._standing.note_rejected()
        self._result_log.note(query.request, result)
        try:
            self._publishers.publish(messages)
        finally:
            if query.on_result is not None:
                query.on_result(result)
