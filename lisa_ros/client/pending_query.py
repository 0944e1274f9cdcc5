"""One query on its way through the action: sent, accepted, answered, completed by its clouds."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from enum import Enum, auto

from action_msgs.msg import GoalStatus
from action_msgs.srv import CancelGoal
from rclpy.action import ActionClient
from rclpy.action.client import ClientGoalHandle
from rclpy.task import Future

from lisa_ros.action import Segment
from lisa_ros.client.clouds import CloudBuffer
from lisa_ros.client.conversion import read_result
from lisa_ros.client.query_handle import QueryHandle
from lisa_ros.client.results import PerceptionResult, QueryStatus
from lisa_ros.client.server_discovery import ServerDiscovery
from lisa_ros.errors import (
    GoalRejectedError,
    LisaError,
    QueryTimeoutError,
    ServerLostError,
    ServerUnavailableError,
)
from lisa_ros.msg import SegmentationResult

_CLOUD_WAIT = 5.0  # s that clouds may come after the result
_REPEAT = 1.0  # s after which what got no answer is tried again


class GoalState(Enum):
    """Where a query's goal is."""

    WAITING_FOR_SERVER = auto()
    SENT = auto()
    REJECTED = auto()
    ACCEPTED = auto()
    WAITING_FOR_CLOUDS = auto()


class PendingQuery:
    """Brings one query to its outcome. Its methods run in the client's callback group, one at a time.

    Attributes:
        handle: What whoever asked holds.
        state: Where the goal is.
    """

    def __init__(
        self,
        handle: QueryHandle,
        action: ActionClient,
        discovery: ServerDiscovery,
        clouds: CloudBuffer | None,
        discovery_timeout: float,
        wake: Callable[[], None],
    ):
        """Nothing is sent yet.

        Args:
            handle: The query.
            action: Client of the action `segment`.
            discovery: Of the same action.
            clouds: None where the client takes no clouds.
            discovery_timeout: s that the server may take to be found.
            wake: Makes the client call `advance` soon.
        """
        self.handle, self.state = handle, GoalState.WAITING_FOR_SERVER
        self._action, self._discovery, self._clouds = action, discovery, clouds
        self._wake = wake
        self._discovery_timeout = discovery_timeout
        self._servers: frozenset[bytes] = frozenset()
        self._goal_handles: deque[ClientGoalHandle] = deque()
        self._responses: deque = deque()
        self._result: PerceptionResult | None = None
        self._cloud_deadline = 0.0
        self._next_cancel = self._next_request = self._next_look = 0.0

    def advance(self) -> bool:
        """Does what is due; to be called a few times a second, and after each wake.

        Returns:
            Whether nothing is left to do: the handle is done, and the server does not work on the goal in vain.
        """
        now, handle = time.monotonic(), self.handle
        self._take_goal_handle()
        self._take_responses(now)
        if handle.done():
            return self._abandon(now)
        if self.state is GoalState.WAITING_FOR_SERVER:
            self._advance_unsent(now)
        elif self.state is GoalState.WAITING_FOR_CLOUDS:
            self._complete(now)
        elif self._is_server_lost(now):
            handle.fail(
                ServerLostError(
                    f"the node of {self._discovery.name} ended or was started anew while it worked on {handle.query!r}"
                )
            )
        elif now > handle.deadline:
            stage = "without any feedback" if handle.stage is None else f"the last stage was {handle.stage.name}"
            handle.fail(
                QueryTimeoutError(f"no result for {handle.query!r} in {handle.timeout:g} s, {stage}; it is cancelled")
            )
        else:
            self._advance_sent(now)
        return False

    def cancel_goal(self) -> Future | None:
        """Asks the server to stop, where it may have the goal. Returns the Future of its answer."""
        if self.state in (GoalState.SENT, GoalState.ACCEPTED) and self._result is None:
            return self._discovery.cancel(self.handle.goal_id)
        return None

    def _abandon(self, now: float) -> bool:
        if self._result is not None or self.state in (GoalState.WAITING_FOR_SERVER, GoalState.REJECTED):
            return True
        if now >= self._next_cancel:
            self._next_cancel = now + _REPEAT
            self.cancel_goal()
        # A goal that is still on its way is not known to the server yet: it is cancelled again when it is.
        return self.state is GoalState.ACCEPTED or self._is_server_lost(now)

    def _is_server_lost(self, now: float) -> bool:
        if now < self._next_look:
            return False
        self._next_look = now + _REPEAT
        return not self._servers & self._discovery.servers()

    def _advance_unsent(self, now: float):
        handle = self.handle
        if handle.is_cancel_requested:
            handle.complete(_never_sent(handle.query, handle.goal))
        elif self._discovery.is_ready():
            self._send(now)
        elif now > min(handle.started + self._discovery_timeout, handle.deadline):
            handle.fail(ServerUnavailableError(self._discovery.why_unavailable(now - handle.started)))

    def _send(self, now: float):
        self._servers = self._discovery.servers()
        self.state, self._next_request = GoalState.SENT, now + _REPEAT
        goal_id = CancelGoal.Request().goal_info.goal_id
        goal_id.uuid = self.handle.goal_id
        sent = self._action.send_goal_async(self.handle.goal, feedback_callback=self._on_feedback, goal_uuid=goal_id)
        sent.add_done_callback(self._on_goal_handle)

    def _advance_sent(self, now: float):
        if self.handle.is_cancel_requested and now >= self._next_cancel:
            self._next_cancel = now + _REPEAT
            self.cancel_goal()
        if self.state is GoalState.SENT and now >= self._next_request:
            # The answer to the goal may be lost (in rclpy where it comes while the goal is being registered; in DDS
            # where it comes before the reader is found). A goal that the server has can be waited for without it.
            self._next_request = now + _REPEAT
            response = Segment.Impl.SendGoalService.Response(accepted=True)
            goal_id = CancelGoal.Request().goal_info.goal_id
            goal_id.uuid = self.handle.goal_id
            self._request_result(ClientGoalHandle(self._action, goal_id, response))

    def _request_result(self, goal_handle: ClientGoalHandle):
        goal_handle.get_result_async().add_done_callback(self._on_response)

    def _on_feedback(self, message):
        self.handle.receive_feedback(message.feedback)

    # rclpy runs done callbacks of futures in any thread of the executor: what they bring waits for `advance`.

    def _on_goal_handle(self, future: Future):
        self._goal_handles.append(future.result())
        self._wake()

    def _on_response(self, future: Future):
        self._responses.append(future.result())
        self._wake()

    def _take_goal_handle(self):
        if not self._goal_handles or self.state is not GoalState.SENT:
            return
        goal_handle = self._goal_handles.popleft()
        if goal_handle.accepted:
            self.state, self._next_cancel = GoalState.ACCEPTED, 0.0
            self._request_result(goal_handle)
        else:
            self.state = GoalState.REJECTED
            self.handle.fail(
                GoalRejectedError(
                    f"{self._discovery.name} rejected {self.handle.query!r}: its node is not active, or its queue is "
                    "full (parameter queue_size); the topic `result` and the node's log say which"
                )
            )

    def _take_responses(self, now: float):
        while self._responses and self._result is None and not self.handle.done():
            response = self._responses.popleft()
            if response.status != GoalStatus.STATUS_UNKNOWN:
                self._take_result(response.result.result, now)
            elif self.state is GoalState.ACCEPTED:
                self.handle.fail(
                    ServerLostError(f"{self._discovery.name} has forgotten the goal {self.handle.query!r}")
                )
            # A goal that has not arrived yet, or is rejected, is not known either.

    def _take_result(self, message: SegmentationResult, now: float):
        try:
            self._result = read_result(message)
        except (LisaError, ValueError) as error:
            self.handle.fail(error)
        else:
            self.state = GoalState.WAITING_FOR_CLOUDS
            self._cloud_deadline = min(now + _CLOUD_WAIT, self.handle.deadline)

    def _complete(self, now: float):
        result = self._result
        if self._clouds is None or not any(target.location for target in result.targets):
            self.handle.complete(result)
        elif (completed := self._clouds.complete(result)) is not None:
            self.handle.complete(completed)
        elif now > self._cloud_deadline:
            missing = "the clouds of this result did not arrive in time"
            self.handle.complete(replace(result, message="; ".join(filter(None, (result.message, missing)))))


def _never_sent(query: str, goal: Segment.Goal) -> PerceptionResult:
    return PerceptionResult(
        query=query,
        answer="",
        targets=(),
        status=QueryStatus.CANCELLED,
        message="cancelled before it was sent to a node",
        query_id="",
        conversation_id=goal.conversation_id,
        stamp=0,
        frame_id="",
        received=0,
        image_age=0.0,
        model="",
    )
