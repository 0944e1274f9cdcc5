"""QoS mismatches, which are silence otherwise."""

from rclpy.node import Node
from rclpy.qos import qos_policy_name_from_kind

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks


class QosWatch:
    """Logs each publisher whose offer does not fit a subscription. mismatches: topic -> policy."""

    def __init__(self, node: Node):
        self._node = node
        self.mismatches: dict[str, str] = {}

    def events(self, topic: str) -> SubscriptionEventCallbacks:
        """What a subscription of the topic is created with."""
        return SubscriptionEventCallbacks(incompatible_qos=lambda event: self._on_mismatch(topic, event))

    def _on_mismatch(self, topic: str, event):
        policy = qos_policy_name_from_kind(event.last_policy_kind)
        self.mismatches[topic] = policy
        self._node.get_logger().error(
            f"{topic}: a publisher offers a QoS that does not fit this subscription (policy {policy}); "
            "nothing will arrive from it"
        )
