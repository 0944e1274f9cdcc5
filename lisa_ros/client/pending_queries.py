"""The queries of one client that are on their way, and what makes the executor look after them."""

import contextlib
import threading

from rclpy.clock import Clock, ClockType
from rclpy.exceptions import InvalidHandle
from rclpy.node import Node

from lisa_ros.client.executors import ClientCallbackGroup
from lisa_ros.client.pending_query import PendingQuery
from lisa_ros.errors import ClientClosedError

_SOON = 0.001  # s
_PERIOD = 0.05  # s between two looks at the queries


class PendingQueries:
    """Advances each query in the executor until it is over; any thread may add one."""

    def __init__(self, node: Node, group: ClientCallbackGroup):
        """Nothing is pending.

        Args:
            node: The client's node.
            group: The client's callbacks.
        """
        self._node, self._group = node, group
        self._lock = threading.Lock()
        self._queries: list[PendingQuery] = []
        # Timeouts are the program's: they hold with a simulated clock too.
        clock = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = node.create_timer(_PERIOD, self._advance, callback_group=group, clock=clock)
        # Runs once after each reset. EventsExecutor takes no guard conditions, which are made for this.
        self._wake_timer = node.create_timer(_SOON, self._advance_now, callback_group=group, clock=clock)
        self._timer.cancel()
        self._wake_timer.cancel()

    def add(self, query: PendingQuery):
        """Sends a query soon.

        Raises:
            ClientClosedError: The client is closed.
        """
        with self._lock:
            if self._group.is_closed:
                raise ClientClosedError("the client is closed; make a new one")
            self._queries.append(query)
        self.wake()

    def end(self) -> list[PendingQuery] | None:
        """Takes no more queries from now on. Returns those that were pending; None where it was ended before."""
        with self._lock:
            if self._group.is_closed:
                return None
            self._group.is_closed = True
            pending, self._queries = self._queries, []
        return pending

    def destroy(self):
        """Removes the timers."""
        self._node.destroy_timer(self._timer)
        self._node.destroy_timer(self._wake_timer)

    def wake(self):
        """Makes the executor look after the queries soon; to be called from any thread."""
        with contextlib.suppress(InvalidHandle):  # closed meanwhile
            self._wake_timer.reset()
        if (executor := self._node.executor) is not None:
            executor.wake()

    # -- in the executor

    def _advance_now(self):
        with contextlib.suppress(InvalidHandle):  # closed meanwhile
            self._wake_timer.cancel()  # before the work: whoever wakes during it wakes again
        self._advance()

    def _advance(self):
        with self._group.lock:
            if self._group.is_closed:
                return
            with self._lock:
                pending = list(self._queries)
            over = set()
            for query in pending:
                if query.advance():
                    over.add(query)
                if self._group.is_closed:  # by a done callback
                    return
            with self._lock:
                self._queries = [query for query in self._queries if query not in over]
                is_idle = not self._queries
            if not is_idle and self._timer.is_canceled():
                self._timer.reset()
            elif is_idle:
                self._timer.cancel()
