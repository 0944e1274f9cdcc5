"""Calls from other threads into the executor's."""

from collections import deque
from collections.abc import Callable

from rclpy.node import Node


class ExecutorQueue:
    """Handles of ROS are used by one thread only; others leave their calls here."""

    def __init__(self, node: Node):
        self._calls: deque[Callable] = deque()
        self._wake = node.create_guard_condition(self._on_wake)

    def post(self, call: Callable):
        """Runs a call in the executor's thread soon; may be called from any thread."""
        self._calls.append(call)
        self._wake.trigger()

    def _on_wake(self):
        # One call each time, so that parameter and other services have their turn in between.
        if self._calls:
            call = self._calls.popleft()
            if self._calls:
                self._wake.trigger()
            call()
