"""QoS mismatches, which are silence otherwise."""

from rclpy.node import Node
from rclpy.qos import QoSCompatibility, QoSProfile, qos_check_compatible, qos_policy_name_from_kind

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks


class QosWatch:
    """Logs each publisher whose offer does not fit a subscription. mismatches: topic -> policy, while it is there."""

    def __init__(self, node: Node):
        self._node = node
        self._asked: dict[str, QoSProfile] = {}
        self.mismatches: dict[str, str] = {}

    def events(self, topic: str, asked: QoSProfile) -> SubscriptionEventCallbacks:
        """What a subscription of the topic, which asks for a QoS, is created with."""
        self._asked[topic] = asked
        return SubscriptionEventCallbacks(incompatible_qos=lambda event: self._on_mismatch(topic, event))

    def forget_gone(self):
        """Forgets mismatches whose publisher has gone: no event tells of that."""
        self.mismatches = {topic: policy for topic, policy in self.mismatches.items() if self._has_unfit(topic)}

    def _has_unfit(self, topic: str) -> bool:
        offers = (publisher.qos_profile for publisher in self._node.get_publishers_info_by_topic(topic))
        fits = (qos_check_compatible(offer, self._asked[topic])[0] for offer in offers)
        return QoSCompatibility.ERROR in fits

    def _on_mismatch(self, topic: str, event):
        policy = qos_policy_name_from_kind(event.last_policy_kind)
        self.mismatches[topic] = policy
        self._node.get_logger().error(
            f"{topic}: a publisher offers a QoS that does not fit this subscription (policy {policy}); "
            "nothing will arrive from it"
        )
