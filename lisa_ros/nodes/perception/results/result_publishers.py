"""The node's publishers: what is latched belongs to the last answer, all of it."""

from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import String
from visualization_msgs.msg import MarkerArray

from lisa_ros.msg import SegmentationResult
from lisa_ros.nodes.perception.results.latched_publisher import EventPublisher, LatchedPublisher
from lisa_ros.nodes.perception.results.optional_messages import Detection3DArray, PlanningScene, PlanningSceneDiffs
from lisa_ros.nodes.perception.results.result_builder import ResultMessages

_HANDOVER = 1.0  # s for the readers of `result`, where every message counts
_BURST = 500  # results of cancelled and rejected queries that a reader may be behind
_TOPICS = {
    "answer": String,
    "mask": Image,
    "points": PointCloud2,
    "scene_points": PointCloud2,
    "box": PoseStamped,
    "markers": MarkerArray,
    "overlay": Image,
}
# Outcomes that say nothing about the scene: a late subscriber shall not get them in place of the last answer.
_EVENTS = (SegmentationResult.CANCELLED, SegmentationResult.REJECTED)


class ResultPublishers:
    """`result` exists as long as the node, since every query gets one; the others from configure to cleanup."""

    def __init__(self, node: Node):
        self._node = node
        self._result = LatchedPublisher(node, SegmentationResult, "result", handover=_HANDOVER, lossless=True)
        self._events = EventPublisher(node, SegmentationResult, "result", depth=_BURST, handover=_HANDOVER)
        self._publishers: dict[str, LatchedPublisher] = {}
        self._scene_diffs = PlanningSceneDiffs()

    def open(self):
        """Creates the topics of answers."""
        optional = {"detections": Detection3DArray, "planning_scene": PlanningScene}
        topics = {**_TOPICS, **{topic: kind for topic, kind in optional.items() if kind is not None}}
        self._publishers = {topic: LatchedPublisher(self._node, kind, topic) for topic, kind in topics.items()}

    def close(self):
        """Removes the topics of answers, and all that a late subscriber could take for news."""
        if (removal := self._scene_diffs.next(None)) is not None:
            self._publishers["planning_scene"].publish(removal)
        for publisher in self._publishers.values():
            publisher.close()
        self._publishers = {}
        self._result.clear()
        self._events.clear()

    def is_wanted(self, topic: str) -> bool:
        """Whether somebody subscribes to "overlay" or "scene_points", which are made for nobody else."""
        return topic in self._publishers and self._publishers[topic].is_subscribed()

    def publish(self, messages: ResultMessages):
        """Publishes the messages of a result, and withdraws those of earlier ones that it has none for.

        `result` comes last, so that the rest is there when it is acted upon.
        """
        if messages.result.status in _EVENTS:
            return self._events.publish(messages.result)
        for topic, publisher in self._publishers.items():
            message = getattr(messages, topic)
            if topic == "planning_scene":
                self._publish_scene(publisher, message)
            elif message is None:
                publisher.clear()
            else:
                publisher.publish(message)
        self._result.publish(messages.result)

    def _publish_scene(self, publisher: LatchedPublisher, message):
        # A difference to the scene before: where there is none, the last one still holds.
        if (difference := self._scene_diffs.next(message)) is not None:
            publisher.publish(difference)

    def expire_events(self):
        """To be called once a second: late subscribers get no old cancellations and rejections."""
        self._events.expire()
