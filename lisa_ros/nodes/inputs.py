"""The node's camera subscriptions: they only check and file messages."""

from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from lisa_ros.errors import InvalidImageError
from lisa_ros.image_messages import check_image
from lisa_ros.nodes.frame_buffer import FrameBuffer, stamp_of
from lisa_ros.nodes.qos_watch import QosWatch
from lisa_ros.nodes.settings import Settings
from lisa_ros.nodes.throttle import ThrottledLog

SENSOR = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)


class Inputs:
    """Subscribes to image, depth and camera_info. on_image() is called after each image that was filed."""

    def __init__(self, node: Node, buffer: FrameBuffer, settings: Settings, watch: QosWatch, on_image):
        self._node, self._buffer, self._watch, self._on_image = node, buffer, watch, on_image
        self._warn = ThrottledLog(lambda text: node.get_logger().warning(text))
        self.since = node.get_clock().now().nanoseconds
        self.topics = {
            "image": _transport_topic(node, "image", settings.image_transport),
            "depth": _transport_topic(node, "depth", settings.depth_transport),
            "info": node.resolve_topic_name("camera_info"),
        }
        self._subscriptions = [
            self._subscribe("image", Image if settings.image_transport == "raw" else CompressedImage),
            self._subscribe("depth", Image if settings.depth_transport == "raw" else CompressedImage),
            self._subscribe("info", CameraInfo),
        ]

    def close(self):
        """Removes the subscriptions."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []

    def publishers(self, stream: str) -> int:
        """How many publishers of a stream's topic exist."""
        return self._node.count_publishers(self.topics[stream])

    def _subscribe(self, stream: str, kind):
        topic = self.topics[stream]
        return self._node.create_subscription(
            kind,
            topic,
            lambda message: self._on_message(stream, message),
            SENSOR,
            event_callbacks=self._watch.events(topic, SENSOR),
        )

    def _on_message(self, stream: str, message):
        arrived = self._node.get_clock().now().nanoseconds
        try:
            if isinstance(message, Image):
                check_image(message)
            stamp, stamped = stamp_of(message, arrived)
        except InvalidImageError as error:
            self._buffer.reject(stream, str(error), arrived)
            self._warn(f"bad {stream}", f"{self.topics[stream]}: {error}; the message is dropped")
            return
        if not stamped:
            self._warn(
                f"no stamp {stream}",
                f"{self.topics[stream]}: header.stamp is zero; its arrival stands in for it, which blurs depth and "
                "TF of a moving camera",
            )
        if self._buffer.add(stream, stamp, message, arrived):
            self._warn(
                "restart",
                f"{self.topics[stream]}: stamps fell back (restarted camera or bag, or another clock); "
                "all buffered images are forgotten",
            )
        if stream == "image":
            self._on_image()


def _transport_topic(node: Node, name: str, transport: str) -> str:
    # As image_transport does: remapping names the base topic, the transport's suffix comes after.
    base = node.resolve_topic_name(name)
    return base if transport == "raw" else f"{base}/{transport}"
