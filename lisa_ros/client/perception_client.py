"""The client of a perception node, for robot programs: asks by the action `segment`."""

import time
from collections.abc import Callable
from typing import Literal, get_args

from rclpy.action import ActionClient
from rclpy.exceptions import NameValidationException
from rclpy.expand_topic_name import expand_topic_name
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.task import Future

from lisa_ros.action import Segment
from lisa_ros.client.background_node import BackgroundNode
from lisa_ros.client.clouds import CloudBuffer
from lisa_ros.client.executors import ClientCallbackGroup
from lisa_ros.client.follow_handle import FollowedFrame, FollowHandle
from lisa_ros.client.goals import check_timeout, make_goal
from lisa_ros.client.pending_queries import PendingQueries
from lisa_ros.client.pending_query import PendingQuery
from lisa_ros.client.query_handle import QueryHandle
from lisa_ros.client.results import PerceptionResult, QueryFeedback
from lisa_ros.client.server_discovery import ServerDiscovery
from lisa_ros.errors import BlockingCallError, ClientClosedError, ConfigurationError, ServerUnavailableError
from lisa_ros.rclpy_compat import is_in_callback

CloudTopics = Literal["none", "targets", "scene"]
_PERIOD = 0.05  # s between two looks at whether the server is there
# The default keeps 10 requests and answers; of a burst of queries, those before would never arrive.
_SERVICES_QOS = QoSProfile(depth=500)
_CLOSING = 1.0  # s for the node to hear of the queries that `close` cancels


class PerceptionClient:
    """Asks a perception node. Thread-safe; any number of queries may be on their way at once.

    Stand-alone it has a node, an executor and a thread of its own, needs no `rclpy.init()`, and waits for the result:

        >>> with PerceptionClient("/lisa") as lisa:
        ...     result = lisa.ask("the red mug", timeout=5)

    In a node of the caller's it lives in that node's executor and never blocks it:

        >>> self.lisa = PerceptionClient("/lisa", node=self)
        >>> result = await self.lisa.ask_async("the red mug", timeout=5)
    """

    def __init__(
        self,
        name: str = "/lisa",
        *,
        node: Node | None = None,
        clouds: CloudTopics = "targets",
        discovery_timeout: float = 5.0,
    ):
        """Returns at once; the perception node may start later.

        Args:
            name: Namespace of the perception node, as `/lisa` in its action `/lisa/segment`; a relative one is within
                the node's own.
            node: The caller's node, which the caller spins; close the client before it is destroyed. None: stand-alone.
            clouds: What comes with the results: "targets" the points of the targets, "scene" those and the rest of the
                scene, which costs the perception node time with every query, "none" neither.
            discovery_timeout: s that a query waits for the perception node to be found.

        Raises:
            ConfigurationError: A value is none of those; a name is not one of ROS.
        """
        if clouds not in get_args(CloudTopics):
            raise ConfigurationError(f"clouds is {clouds!r}; it must be one of {', '.join(get_args(CloudTopics))}")
        self._discovery_timeout = check_timeout("discovery_timeout", discovery_timeout)
        self._background = BackgroundNode() if node is None else None
        self._node = self._background.node if self._background else node
        self._group = ClientCallbackGroup()
        try:
            self._open(name.rstrip("/") if name.strip("/") else name, clouds)
        except (NameValidationException, ValueError) as error:
            if self._background is not None:
                self._background.stop()
                self._background.close()
            raise ConfigurationError(f"name is {name!r}; it must be a namespace such as '/lisa': {error}") from error
        if self._background is not None:
            self._background.start()

    def _open(self, name: str, clouds: CloudTopics):
        node, group = self._node, self._group
        prefix = f"{name.rstrip('/')}/" if name else ""
        expand_topic_name(f"{prefix}segment", node.get_name(), node.get_namespace())  # says what is wrong with a name
        action_name = node.resolve_topic_name(f"{prefix}segment")
        self._action = ActionClient(
            node,
            Segment,
            action_name,
            callback_group=group,
            goal_service_qos_profile=_SERVICES_QOS,
            result_service_qos_profile=_SERVICES_QOS,
            cancel_service_qos_profile=_SERVICES_QOS,
        )
        self._queries = PendingQueries(node, group)
        wake = self._queries.wake
        self._discovery = ServerDiscovery(node, self._action, action_name, group, wake)
        self._clouds = None if clouds == "none" else CloudBuffer(node, prefix, group, clouds == "scene", wake)

    # -- asking

    def ask(
        self,
        query: str = "",
        *,
        timeout: float = 60.0,
        on_feedback: Callable[[QueryFeedback], None] | None = None,
        **options,
    ) -> PerceptionResult:
        """Asks and waits for the result.

        Args:
            query: What is asked: "the red mug", "hand me something to cut the bread with". Empty with `phrases`.
            timeout: s, after which the query is cancelled.
            on_feedback: Called in this thread with each feedback while it waits. What it raises ends the query.
            **options: Those of `ask_async`.

        Returns:
            The result; look at its `status`.

        Raises:
            NoResultError: As `QueryHandle.result`.
            BlockingCallError: The call would wait for ever: see `QueryHandle.result`.
            ConfigurationError: An option does not fit.

        Example:
            >>> with PerceptionClient("/lisa") as lisa:
            ...     result = lisa.ask("the red mug", timeout=5)
            ...     result.status, result.answer, result.targets[0].mask.shape
            (<QueryStatus.OK: 0>, 'The red mug.', (480, 640))
            ...     result = lisa.ask(phrases=["the red mug", "the fork"], timeout=5)
            ...     [(target.phrase, target.kind) for target in result.targets]
            [('the red mug', 'segmented'), ('the fork', 'absent')]
        """
        handle = self.ask_async(query, timeout=timeout, **options)
        try:
            if on_feedback is not None:
                for feedback in handle:
                    on_feedback(feedback)
            return handle.result()
        finally:
            handle.cancel()  # where it was interrupted; nothing happens to one that is done

    def ask_async(
        self,
        query: str = "",
        *,
        timeout: float = 60.0,
        on_feedback: Callable[[QueryFeedback], None] | None = None,
        **options,
    ) -> QueryHandle:
        """Asks and returns at once.

        Args:
            query: What is asked; empty with `phrases`.
            timeout: s, after which the query is cancelled and its handle raises QueryTimeoutError.
            on_feedback: Called with each feedback in a thread of the node's executor; it must not wait for results of
                this client. What it raises becomes the exception of the handle.
            **options: What holds for this query alone; left out, empty or zero it is the node's parameter of that name.
                `phrases`: names of things, in place of the query; each is found or absent, and the result has a target
                for each, in their order.
                `image_stamp`: `header.stamp` of the image to ask about, or ns; 0: the newest one.
                `conversation_id`: earlier queries under it are remembered.
                `with_cloud`: boxes, grasps and clouds are made; True is the default.
                `mode`: "chat" or "mask". `max_new_tokens`: limit of the answer.
                `target_frame`: frame of boxes and clouds.
                `region`: (x, y, width, height) in pixels, or a RegionOfInterest; the model sees nothing else.
                `cloud`: mapping of the node's parameters `cloud.*` to values.

        Returns:
            A handle to await, to wait for, to iterate over for feedback, and to cancel.

        Raises:
            ConfigurationError: An option does not fit.
            ClientClosedError: The client is closed.
        """
        goal, timeout = make_goal(query, **options), check_timeout("timeout", timeout)
        handle = QueryHandle(goal, timeout, on_feedback, self._node, self._group, self._queries.wake)
        self._begin(handle, self._clouds if goal.with_cloud else None)
        return handle

    def follow(
        self,
        query: str = "",
        *,
        timeout: float = 60.0,
        on_frame: Callable[[FollowedFrame], None] | None = None,
        **options,
    ) -> FollowHandle:
        """Follows what is asked for through the camera's images, until it is cancelled; returns at once.

        The node follows one goal at a time: a newer one, of any client, ends it.

        Args:
            query: What is followed: "the red mug", "all the mugs". Empty with `phrases`.
            timeout: s that may pass from one frame to the next; then it is cancelled, and raises QueryTimeoutError.
            on_frame: Called with each frame in a thread of the node's executor, in place of the iteration; it must not
                wait for results of this client. What it raises ends the following.
            **options: Those of `ask_async` but `image_stamp` and `conversation_id`. Without `with_cloud` there are no
                boxes, and more frames.

        Returns:
            A handle to iterate over for the frames, and to cancel.

        Raises:
            ConfigurationError: An option does not fit.
            ClientClosedError: The client is closed.

        Example:
            >>> with PerceptionClient("/lisa") as lisa, lisa.follow("the red mug") as frames:
            ...     for frame in frames:
            ...         for target in frame.result.targets:
            ...             print(target.id, target.kind, target.mask.sum())
        """
        if unfit := sorted({"image_stamp", "conversation_id"} & options.keys()):
            raise ConfigurationError(f"{unfit[0]} does not go with follow, which is about every newest image")
        goal, timeout = make_goal(query, **options), check_timeout("timeout", timeout)
        goal.follow = True
        handle = FollowHandle(goal, timeout, on_frame, self._node, self._group, self._queries.wake)
        self._begin(handle, None)
        return handle

    def _begin(self, handle: QueryHandle, clouds: CloudBuffer | None):
        wake = self._queries.wake
        self._queries.add(PendingQuery(handle, self._action, self._discovery, clouds, self._discovery_timeout, wake))

    def wait_for_server(self, timeout: float):
        """Returns when the perception node is found. `ask` does so by itself, as long as `discovery_timeout` says.

        Args:
            timeout: s.

        Raises:
            ServerUnavailableError: It was not found in time; says which name, and what is there.
            ConfigurationError: The timeout is not a positive number.
        """
        started, timeout = time.monotonic(), check_timeout("timeout", timeout)
        while not self._action.server_is_ready():
            if time.monotonic() - started > timeout:
                raise ServerUnavailableError(self._discovery.why_unavailable(timeout))
            time.sleep(_PERIOD)

    # -- end

    def close(self):
        """Cancels what is pending, whose handles raise ClientClosedError, and removes the client from the graph.

        Raises:
            BlockingCallError: A stand-alone client is closed from one of its own callbacks.
        """
        is_own_callback = self._node.executor is not None and is_in_callback(self._node.executor)
        if self._background is not None and is_own_callback:
            raise BlockingCallError("a callback of the client's own cannot close it; close it in another thread")
        if (pending := self._queries.end()) is None:
            return
        cancelled = []
        if self._node.context.ok():  # otherwise its entities are gone already
            with self._group.lock:
                cancelled = [answer for query in pending if (answer := query.cancel_goal()) is not None]
        for query in pending:
            query.handle.fail(ClientClosedError(f"the client was closed while {query.handle.query!r} was asked"))
        if not is_own_callback:
            _wait_for(cancelled, _CLOSING)
        if self._background is not None:
            self._background.stop()
        self._destroy()
        if self._background is not None:
            self._background.close()

    def __enter__(self) -> "PerceptionClient":
        """The client itself."""
        return self

    def __exit__(self, *_):
        """Closes the client."""
        self.close()

    def _destroy(self):
        with self._group.lock:
            self._queries.destroy()
            if self._clouds is not None:
                self._clouds.close()
            self._discovery.close()
            self._action.destroy()


def _wait_for(futures: list[Future], timeout: float):
    end = time.monotonic() + timeout
    while not all(future.done() for future in futures) and time.monotonic() < end:
        time.sleep(0.01)
