"""Whether the perception node is there, and what it says about itself."""

import time

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node

from lisa_ros.console.state import NodeView

_SILENCE = 3.5  # s; its diagnostics come once a second


class PerceptionMonitor:
    """Listens to the diagnostics of one perception node.

    Attributes:
        name: The node's full name.
    """

    def __init__(self, node: Node, name: str):
        """Subscribes. name: full name of the perception node."""
        self.name = name
        self._status: DiagnosticStatus | None = None
        self._started = self._heard = time.monotonic()
        self._subscription = node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 50)

    @property
    def is_there(self) -> bool:
        """Whether the node has been heard lately."""
        return self._status is not None and time.monotonic() - self._heard < _SILENCE

    def view(self) -> NodeView:
        """The node at this moment."""
        silence = time.monotonic() - self._heard
        if self._status is None:
            problem = "looking for the node" if silence < _SILENCE else self._absence()
            return NodeView(self.name, "", problem)
        if silence >= _SILENCE:
            return NodeView(
                self.name, "", f"nothing has been heard from {self.name} for {silence:.0f} s: it ended or hangs"
            )
        values = {pair.key: pair.value for pair in self._status.values}
        problem = "" if self._status.level == DiagnosticStatus.OK else self._status.message
        return NodeView(self.name, values.get("state", "unknown"), problem, values)

    def _absence(self) -> str:
        return (
            f"there is no {self.name}: start it (ros2 launch lisa_ros perception.launch.py, or lisa-ros up), or give "
            "namespace:= and compare ROS_DOMAIN_ID"
        )

    def _on_diagnostics(self, message: DiagnosticArray):
        for status in message.status:
            if status.name == f"{self.name}: perception":
                self._status, self._heard = status, time.monotonic()
