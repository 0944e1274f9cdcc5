"""The client of a perception node, for robot programs: asks by the action `segment`."""

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Literal, get_args

from rclpy.action import ActionClient
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import InvalidHandle, NameValidationException
from rclpy.expand_topic_name import expand_topic_name
from rclpy.node import Node
from rclpy.task import Future

from lisa_ros.action import Segment
from lisa_ros.client.background_node import BackgroundNode
from lisa_ros.client.clouds import CloudBuffer
from lisa_ros.client.executors import ClientCallbackGroup
from lisa_ros.client.goals import check_timeout, make_goal
from lisa_ros.client.pending_query import PendingQuery
from lisa_ros.client.query_handle import QueryHandle
from lisa_ros.client.results import PerceptionResult, QueryFeedback
from lisa_ros.client.server_discovery import ServerDiscovery
from lisa_ros.errors import BlockingCallError, ClientClosedError, ConfigurationError, ServerUnavailableError
from lisa_ros.rclpy_compat import is_in_callback

CloudTopics = Literal["none", "targets", "scene"]
_SOON = 0.001  # s
_PERIOD = 0.05  # s between two looks at the queries that are pending
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
        self._pending_lock = threading.Lock()
        self._pending: list[PendingQuery] = []
        try:
            self._open(name.rstrip("/") if name.strip("/") else name, clouds)
        except (NameValidationException, ValueError) as error:
            if self._background is not None:
                self._background.stop()
                self._background.close()
            raise ConfigurationError(f"name is {name!r}; it must be a namespace such as '/lisa': {error}") from error

    def _open(self, name: str, clouds: CloudTopics):
        node, group = self._node, self._group
        prefix = f"{name.rstrip('/')}/" if name else ""
        expand_topic_name(f"{prefix}segment", node.get_name(), node.get_namespace())  # says what is wrong with a name
        action_name = node.resolve_topic_name(f"{prefix}segment")
        self._action = ActionClient(node, Segment, action_name, callback_group=group)
        self._discovery = ServerDiscovery(node, self._action, action_name, group, self._wake)
        # Timeouts are the program's: they hold with a simulated clock too.
        clock = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = node.create_timer(_PERIOD, self._advance, callback_group=group, clock=clock)
        # Runs once after each reset. EventsExecutor takes no guard conditions, which are made for this.
        self._wake_timer = node.create_timer(_SOON, self._advance_now, callback_group=group, clock=clock)
        self._timer.cancel()
        self._wake_timer.cancel()
        self._clouds = None if clouds == "none" else CloudBuffer(node, prefix, group, clouds == "scene", self._wake)

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
        handle = QueryHandle(goal, timeout, on_feedback, self._node, self._group, self._wake)
        pending = PendingQuery(
            handle,
            self._action,
            self._discovery,
            self._clouds if goal.with_cloud else None,
            self._discovery_timeout,
            self._wake,
        )
        with self._pending_lock:
            if self._group.is_closed:
                raise ClientClosedError("the client is closed; make a new one")
            self._pending.append(pending)
        self._wake()
        return handle

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
        with self._pending_lock:
            if self._group.is_closed:
                return
            self._group.is_closed = True
            pending, self._pending = self._pending, []
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
            self._node.destroy_timer(self._timer)
            self._node.destroy_timer(self._wake_timer)
            if self._clouds is not None:
                self._clouds.close()
            self._discovery.close()
            self._action.destroy()

    # -- in the executor

    def _wake(self):
        with contextlib.suppress(InvalidHandle):  # closed meanwhile
            self._wake_timer.reset()
        if (executor := self._node.executor) is not None:
            executor.wake()

    def _advance_now(self):
        with contextlib.suppress(InvalidHandle):  # closed meanwhile
            self._wake_timer.cancel()  # before the work: whoever wakes during it wakes again
        self._advance()

    def _advance(self):
        with self._group.lock:
            if self._group.is_closed:
                return
            with self._pending_lock:
                pending = list(self._pending)
            over = set()
            for query in pending:
                if query.advance():
                    over.add(query)
                if self._group.is_closed:  # by a done callback
                    return
            with self._pending_lock:
                self._pending = [query for query in self._pending if query not in over]
                is_idle = not self._pending
            if not is_idle and self._timer.is_canceled():
                self._timer.reset()
            elif is_idle:
                self._timer.cancel()


def _wait_for(futures: list[Future], timeout: float):
    end = time.monotonic() + timeout
    while not all(future.done() for future in futures) and time.monotonic() < end:
        time.sleep(0.01)
