"""The action `segment`: a goal is a query with feedback, a way to cancel it, and a result of its own."""

from dataclasses import replace

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.task import Future

from lisa_ros.action import Segment
from lisa_ros.msg import SegmentationResult
from lisa_ros.nodes.perception.queries.query import ACTION, Query, QueryRequest
from lisa_ros.nodes.perception.queries.query_options import apply_options, follow_problem
from lisa_ros.nodes.perception.server.query_server import QueryServer

# The default keeps 10 requests; of a burst, all before would get no answer at all.
_SERVICES_QOS = QoSProfile(depth=500)
_SUCCEEDED = (
    SegmentationResult.OK,
    SegmentationResult.NO_TARGET,
    SegmentationResult.NO_DEPTH,
    SegmentationResult.NO_TRANSFORM,
)


class SegmentAction:
    """Goals are rejected where the queue is full; one that is accepted gets exactly one result."""

    def __init__(self, node: Node, query_server: QueryServer):
        self._query_server = query_server
        self._goals: dict[bytes, tuple[Query, Future]] = {}
        self._action_server = ActionServer(
            node,
            Segment,
            "segment",
            self._execute,
            goal_callback=self._on_goal,
            handle_accepted_callback=self._on_accepted,
            cancel_callback=self._on_cancel,
            goal_service_qos_profile=_SERVICES_QOS,
            result_service_qos_profile=_SERVICES_QOS,
            cancel_service_qos_profile=_SERVICES_QOS,
        )

    def close(self):
        """Removes the action."""
        self._action_server.destroy()

    def _request(self, goal: Segment.Goal) -> QueryRequest:
        request = apply_options(self._query_server.new_request(goal.query, ACTION, goal.with_cloud), goal)
        if not goal.follow:
            return request
        return replace(request, follow=True, invalid=request.invalid or follow_problem(request))

    def _on_goal(self, goal: Segment.Goal) -> GoalResponse:
        # Bad options are accepted and then end with a result that says why, which a rejection cannot carry.
        return GoalResponse.REJECT if self._query_server.reject_if_full(self._request(goal)) else GoalResponse.ACCEPT

    def _on_accepted(self, handle):
        future = Future()

        def publish_feedback(stage: int, text: str, masks: int):
            handle.publish_feedback(Segment.Feedback(stage=stage, text=text, masks=masks))

        def publish_followed(result: SegmentationResult):
            masks = sum(target.area > 0 for target in result.targets)
            following = Segment.Feedback.FOLLOWING
            handle.publish_feedback(Segment.Feedback(stage=following, text=result.answer, masks=masks, result=result))

        query = Query(self._request(handle.request), publish_feedback, future.set_result, publish_followed)
        self._goals[_key(handle)] = query, future
        handle.execute()
        self._query_server.submit(query)

    def _on_cancel(self, handle) -> CancelResponse:
        if _key(handle) not in self._goals:
            return CancelResponse.REJECT
        # Later, because the goal is not in its cancelling state before this callback returns.
        self._query_server.cancel_later(self._goals[_key(handle)][0], "cancelled by the action's client")
        return CancelResponse.ACCEPT

    async def _execute(self, handle) -> Segment.Result:
        result = await self._goals[_key(handle)][1]
        del self._goals[_key(handle)]
        if result.status in _SUCCEEDED:
            handle.succeed()
        elif handle.is_cancel_requested:
            handle.canceled()
        else:
            handle.abort()
        return Segment.Result(result=result)


def _key(handle) -> bytes:
    return bytes(handle.goal_id.uuid)
