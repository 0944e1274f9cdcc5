"""Publishers for late subscribers: one whose message can be withdrawn, and one that keeps none for long."""

import time

from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

_HANDOVER = 0.2  # s
_DELIVERY = 0.05  # s for a message to arrive before the next one replaces it
_POLL = 0.005  # s


class LatchedPublisher:
    """Reliable, transient local: a late subscriber gets the last messages, with a depth of 1 the last one.

    ROS has no way to take a latched message back, so `clear` replaces the DDS writer. Readers discover the new one
    within some hundredths of a second, for which its first message waits, `handover` s at most: only where a reader
    has died without a word is it waited to the end.

    lossless: each message gets a moment to arrive before the next one replaces it; without it a subscriber that is slow
    gets the newest one.
    """

    def __init__(
        self,
        node: Node,
        kind: type,
        topic: str,
        *,
        depth: int = 1,
        handover: float = _HANDOVER,
        lossless: bool = False,
    ):
        self._node, self._kind, self._topic = node, kind, topic
        self._depth, self._handover, self._lossless = depth, handover, lossless
        self._publisher = self._create()
        self._readers_before = 0
        self._holds_messages = False

    def publish(self, message):
        """Publishes."""
        if not self._holds_messages:
            self._await_readers()
        elif self._lossless:
            self._publisher.wait_for_all_acked(_duration(_DELIVERY))
        self._publisher.publish(message)
        self._holds_messages = True

    def clear(self):
        """Withdraws what was published: late subscribers get nothing until the next message."""
        if not self._holds_messages:
            return
        self._readers_before = self._publisher.get_subscription_count()
        self.close()
        self._publisher, self._holds_messages = self._create(), False

    def close(self):
        """Removes the publisher, after a last chance for its messages to arrive."""
        self._publisher.wait_for_all_acked(_duration(self._handover))
        self._node.destroy_publisher(self._publisher)

    def is_subscribed(self) -> bool:
        """Whether it has a subscriber."""
        return self._publisher.get_subscription_count() > 0

    def _await_readers(self):
        end = time.monotonic() + self._handover
        while self._publisher.get_subscription_count() < self._readers_before and time.monotonic() < end:
            time.sleep(_POLL)
        self._readers_before = 0

    def _create(self):
        qos = QoSProfile(
            history=HistoryPolicy.KEEP_LAST,
            depth=self._depth,
            reliability=ReliabilityPolicy.RELIABLE,
            durability=DurabilityPolicy.TRANSIENT_LOCAL,
        )
        return self._node.create_publisher(self._kind, self._topic, qos)


class EventPublisher(LatchedPublisher):
    """Each message reaches every subscriber that is there, and none that comes more than a second or two later.

    It is transient local all the same: a volatile one would be incompatible with a transient local subscription.
    """

    def __init__(self, node: Node, kind: type, topic: str, *, depth: int, handover: float = _HANDOVER):
        super().__init__(node, kind, topic, depth=depth, handover=handover)
        self._successor = None

    def clear(self):
        """As of LatchedPublisher."""
        if self._successor is not None:
            self._node.destroy_publisher(self._successor)
            self._successor = None
        super().clear()

    def expire(self):
        """To be called once a second: as `clear`, but without waiting.

        The next DDS writer takes over when it has found all readers and they have all messages, so that none is lost.
        """
        if not self._holds_messages:
            return
        if self._successor is None:
            self._successor = self._create()
        elif self._is_found() and self._publisher.wait_for_all_acked(_duration(0.0)):
            self._node.destroy_publisher(self._publisher)
            self._publisher, self._successor, self._holds_messages = self._successor, None, False

    def _is_found(self) -> bool:
        return self._successor.get_subscription_count() >= self._publisher.get_subscription_count()


def _duration(seconds: float) -> Duration:
    return Duration(nanoseconds=round(seconds * 1e9))
