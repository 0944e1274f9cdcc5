"""Calls from other threads into the executor's thread."""

from collections import deque
from collections.abc import Callable

from rclpy.node import Node


class ExecutorQueue:
    """Calls that run in the executor's thread, one after the other: only that thread uses ROS handles."""

    def __init__(self, node: Node):
        self._calls: deque[Callable] = deque()
        self._wake = node.create_guard_condition(self._on_wake)

    def post(self, call: Callable):
        """Runs a call in the executor's thread soon; may be called from any thread."""
        self._calls.append(call)
        self._wake.trigger()

    def _on_wake(self):
        # One call at a time, so that parameter and other services are served in between.
        if self._calls:
            call = self._calls.popleft()
            if self._calls:
                self._wake.trigger()
            call()
