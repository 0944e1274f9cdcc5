"""Whether the node's action server is there, still there, and has found this client."""

import time
from collections.abc import Callable
from uuid import uuid4

from action_msgs.srv import CancelGoal
from rclpy.action import ActionClient, get_action_names_and_types
from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node

_ACTION_TYPE = "lisa_ros/action/Segment"
_RETRY = 1.0  # s


class ServerDiscovery:
    """Watches one action server for one client. Methods are called from one thread at a time.

    A server can be seen before it has seen the client, and its first answers are lost then. So before the first goal
    the server is asked to cancel a goal that does not exist: its answer comes by an endpoint of the client that was
    made after those of the action, and endpoints are found in that order.
    """

    def __init__(self, node: Node, action: ActionClient, name: str, group: CallbackGroup, on_ready: Callable):
        """Made after the action client.

        Args:
            node: The client's node.
            action: Client of the action.
            name: Resolved name of the action.
            group: Callback group of the answers.
            on_ready: Called without arguments when the server has answered.
        """
        self._node, self._action, self.name, self._on_ready = node, action, name, on_ready
        self._feedback_topic = f"{name}/_action/feedback"
        self._canceller = node.create_client(CancelGoal, f"{name}/_action/cancel_goal", callback_group=group)
        self._proven: frozenset[bytes] = frozenset()
        self._asked, self._request = float("-inf"), None

    def close(self):
        """Removes the service client."""
        self._node.destroy_client(self._canceller)

    def servers(self) -> frozenset[bytes]:
        """GIDs of the action servers of that name that live; one that is started anew has another one."""
        found = self._node.get_publishers_info_by_topic(self._feedback_topic)
        return frozenset(bytes(one.endpoint_gid) for one in found)

    def is_ready(self) -> bool:
        """Whether goals can be sent; to be called again and again until it is so."""
        servers = self.servers()
        if servers and servers <= self._proven:
            return True
        if self._action.server_is_ready() and time.monotonic() > self._asked + _RETRY:
            if self._request is not None:
                self._canceller.remove_pending_request(self._request)
            self._asked = time.monotonic()
            self._request = self.cancel(list(uuid4().bytes))
            self._request.add_done_callback(lambda _: self._prove(servers))
        return False

    def cancel(self, goal_id: list[int]):
        """Asks the server to cancel a goal, which it may not know. Returns the Future of the answer."""
        request = CancelGoal.Request()
        request.goal_info.goal_id.uuid = goal_id
        return self._canceller.call_async(request)

    def why_unavailable(self, waited: float) -> str:
        """What to say where the server was not ready in time.

        Args:
            waited: s.
        """
        others = sorted(name for name, kinds in get_action_names_and_types(self._node) if _ACTION_TYPE in kinds)
        if self.name in others and self.servers():
            return (
                f"the action server {self.name} is there and has not answered for {waited:.3g} s: its node is stopped "
                "or very busy"
            )
        waited_for = f"waited {waited:.3g} s for the action server {self.name}"
        if there := ", ".join(name for name in others if name != self.name):
            return f"{waited_for}; there is {there}: give the client that name without /segment"
        return (
            f"{waited_for}; no perception node is in sight: start one (ros2 launch lisa_ros perception.launch.py), and "
            "compare ROS_DOMAIN_ID and the discovery range of both sides"
        )

    def _prove(self, servers: frozenset[bytes]):
        self._proven, self._request = servers, None
        self._on_ready()
