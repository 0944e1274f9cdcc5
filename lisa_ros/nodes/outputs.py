"""The node's publishers.

Latched (transient local, depth 1): an answer is an event that a late subscriber still wants to see.
"""

from geometry_msgs.msg import PoseStamped
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import String
from visualization_msgs.msg import MarkerArray

from lisa_ros.msg import SegmentationResult
from lisa_ros.nodes.detections import Detection3DArray
from lisa_ros.nodes.planning_scene import PlanningScene, PlanningSceneDiffs
from lisa_ros.nodes.replies import Reply

LATCHED = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
# With a depth of 1 the next result replaces one that a reader has not received yet, so each gets this long to arrive.
_DELIVERY = Duration(nanoseconds=50_000_000)
# The same for the last result of a publisher that goes, and for the first one of its successor, which readers discover
# meanwhile. Only for a reader that has died without a word is it waited to the end.
_HANDOVER = Duration(seconds=1)
_TOPICS = {
    "mask": Image,
    "points": PointCloud2,
    "scene_points": PointCloud2,
    "box": PoseStamped,
    "markers": MarkerArray,
    "overlay": Image,
}


class Outputs:
    """`result` exists as long as the node, since every query gets one; the others from configure to cleanup."""

    def __init__(self, node: Node):
        self._node = node
        self._result = node.create_publisher(SegmentationResult, "result", LATCHED)
        self._result_is_new = True
        self._answer = None
        self._publishers: dict = {}
        self._scene_diffs = PlanningSceneDiffs()

    def open(self):
        """Creates the topics of answers."""
        self._answer = self._node.create_publisher(String, "answer", LATCHED)
        optional = {"detections": Detection3DArray, "planning_scene": PlanningScene}
        topics = {**_TOPICS, **{topic: kind for topic, kind in optional.items() if kind is not None}}
        self._publishers = {topic: self._node.create_publisher(kind, topic, LATCHED) for topic, kind in topics.items()}

    def close(self):
        """Removes the topics of answers, and all that a late subscriber could take for news."""
        if (removal := self._scene_diffs.next(None)) is not None:
            self._publishers["planning_scene"].publish(removal)
        for publisher in [self._answer, *self._publishers.values()]:
            if publisher is not None:
                publisher.wait_for_all_acked(_DELIVERY)
                self._node.destroy_publisher(publisher)
        self._answer, self._publishers = None, {}
        self._result.wait_for_all_acked(_HANDOVER)
        self._node.destroy_publisher(self._result)
        self._result = self._node.create_publisher(SegmentationResult, "result", LATCHED)
        self._result_is_new = True

    def is_wanted(self, topic: str) -> bool:
        """Whether somebody subscribes to "overlay" or "scene_points", which are made for nobody else."""
        return topic in self._publishers and self._publishers[topic].get_subscription_count() > 0

    def publish(self, reply: Reply):
        """Publishes what the reply has; `result` comes last, so that the rest is there when it is acted upon."""
        for topic, publisher in self._publishers.items():
            message = getattr(reply, topic)
            if topic == "planning_scene":
                message = self._scene_diffs.next(message)
            if message is not None:
                publisher.publish(message)
        if reply.mask is not None and self._answer is not None:
            self._answer.publish(String(data=reply.result.answer))
        self._result.wait_for_all_acked(_DELIVERY)
        self._result.publish(reply.result)
        if self._result_is_new:
            self._result_is_new = False
            self._result.wait_for_all_acked(_HANDOVER)
