"""The camera subscriptions: they check messages and put them into the frame buffer.

Images wake the executor. What belongs to them is collected with each image, by the node's timer, and when a frame is
looked for: a wake of the executor costs more than the message, and nothing is done about depth alone.
"""

from collections.abc import Callable

from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from lisa_ros.errors import InvalidImageError
from lisa_ros.nodes.common.stamps import arrival_time, stamp_of
from lisa_ros.nodes.common.throttled_log import ThrottledLog
from lisa_ros.nodes.perception.frames.frame_buffer import FrameBuffer
from lisa_ros.nodes.perception.frames.publisher_checks import QosMonitor, matching_publishers, suffix_hint, topic_hint
from lisa_ros.nodes.perception.parameters import PerceptionParameters
from lisa_ros.rclpy_compat import CollectedGroup, take_message
from lisa_ros.sensor_messages.camera_info import doubts
from lisa_ros.sensor_messages.image_messages import check_image

SENSOR = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
# For what is collected: more than comes between two calls of the node's timer, from a depth camera of 90 Hz.
COLLECTED = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=15, reliability=ReliabilityPolicy.BEST_EFFORT)
# stream -> the name under which it is remapped
NAMES = {"image": "image", "depth": "depth", "info": "camera_info", "depth_info": "depth_camera_info"}


class CameraSubscribers:
    """Subscribes to image, depth and their camera_info while it is open.

    Attributes:
        topics: stream -> topic that is subscribed; empty while it is closed.
        since: When it was opened; ns, clock of arrivals.
    """

    def __init__(self, node: Node, buffer: FrameBuffer, qos_monitor: QosMonitor):
        self._node, self._buffer, self._qos_monitor = node, buffer, qos_monitor
        self._warn = ThrottledLog(lambda text: node.get_logger().warning(text))
        self._on_image: Callable[[], None] | None = None
        self._checked_info = None
        self._types: dict[str, type] = {}
        self._group = CollectedGroup()
        self._subscriptions: dict[str, Subscription] = {}
        self.topics: dict[str, str] = {}
        self.since = 0

    @property
    def is_open(self) -> bool:
        """Whether it is subscribed."""
        return bool(self._subscriptions)

    def open(self, parameters: PerceptionParameters, on_image: Callable[[], None]):
        """Subscribes by the parameters' transports; on_image() is called after each image that was buffered."""
        self._on_image, self._checked_info, self.since = on_image, None, arrival_time(self._node)
        self.topics = {
            "image": _transport_topic(self._node, "image", parameters.image_transport),
            "depth": _transport_topic(self._node, "depth", parameters.depth_transport),
            "info": self._node.resolve_topic_name("camera_info"),
            "depth_info": self._node.resolve_topic_name("depth_camera_info"),
        }
        self._types = {
            "image": Image if parameters.image_transport == "raw" else CompressedImage,
            "depth": Image if parameters.depth_transport == "raw" else CompressedImage,
            "info": CameraInfo,
            "depth_info": CameraInfo,
        }
        for name in ("image", "depth"):
            if hint := suffix_hint(name, self._node.resolve_topic_name(name)):
                self._warn(f"name {name}", hint)
        self._subscriptions = {stream: self._subscribe(stream) for stream in self.topics}

    def close(self):
        """Removes the subscriptions."""
        for subscription in self._subscriptions.values():
            self._node.destroy_subscription(subscription)
        self._subscriptions, self.topics = {}, {}

    def collect(self):
        """Puts what has come beside the images into the buffer."""
        for stream, subscription in self._subscriptions.items():
            if stream != "image":
                while (message := take_message(subscription)) is not None:
                    self._on_message(stream, message)

    def publishers(self, stream: str) -> int:
        """How many publishers of a stream's topic and type exist; 0 while it is closed."""
        return len(matching_publishers(self._node, self.topics[stream], self._type(stream))) if self.is_open else 0

    def hint(self, stream: str) -> str:
        """As `topic_hint`, for a stream; "" while it is closed."""
        if not self.is_open:
            return ""
        return topic_hint(self._node, NAMES[stream], self.topics[stream], self._type(stream))

    def _type(self, stream: str) -> str:
        return f"sensor_msgs/msg/{self._types[stream].__name__}"

    def _subscribe(self, stream: str):
        topic, quality = self.topics[stream], SENSOR if stream == "image" else COLLECTED
        return self._node.create_subscription(
            self._types[stream],
            topic,
            self._on_image_message,
            quality,
            callback_group=None if stream == "image" else self._group,
            event_callbacks=self._qos_monitor.events(topic, quality),
        )

    def _on_image_message(self, message):
        self.collect()  # in the order of a restart: depth from before it must not follow an image from after it
        self._on_message("image", message)

    def _on_message(self, stream: str, message):
        now, arrived = self._node.get_clock().now().nanoseconds, arrival_time(self._node)
        try:
            if isinstance(message, Image):
                check_image(message)
            stamp, stamped = stamp_of(message, now)
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
        if self._buffer.add(stream, stamp, message, arrived, stamp - now):
            self._warn(
                "restart",
                f"{self.topics[stream]}: stamps fell back (restarted camera or bag, or another clock); "
                "all buffered images are forgotten",
            )
        if stream == "image":
            self._on_image()
        elif stream == "info":
            self._check_distortion(message)

    def _check_distortion(self, info):
        """Once for each calibration: a message does not say whether its image is the rectified one."""
        content = (info.width, info.height, tuple(info.k), tuple(info.d), tuple(info.p))
        if content == self._checked_info:
            return
        self._checked_info = content
        if found := doubts(info, is_rectified="rect" in self.topics["image"]):
            self._warn("calibration", f"{self.topics['info']} of {self.topics['image']} has {'; '.join(found)}")


def _transport_topic(node: Node, name: str, transport: str) -> str:
    # As image_transport does: remapping names the base topic, the transport's suffix comes after.
    base = node.resolve_topic_name(name)
    return base if transport == "raw" else node.resolve_topic_name(f"{base}/{transport}")
