"""The camera's images: the newest one to look at, and each of the last seconds by its stamp.

They are kept as they come, serialized: reading 30 large messages a second costs a core, and few are ever looked at.
"""

import struct
import time
from collections import OrderedDict, deque
from dataclasses import dataclass

import numpy as np
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CompressedImage, Image

from lisa_ros.errors import InvalidImageError
from lisa_ros.nodes.common.stamps import SECOND
from lisa_ros.nodes.perception.frames.camera_subscribers import SENSOR
from lisa_ros.nodes.perception.frames.publisher_checks import QosMonitor, topic_hint
from lisa_ros.sensor_messages.image_messages import to_rgb

BUDGET = 128 * 2**20  # bytes of images that are kept
# While a query runs all images are kept from so long (s) before it was asked to so long after the node took it, but of
# no more than _LONGEST: one of them is the image that it is about.
_AROUND, _LONGEST = 0.75, 3.0
_SILENCE = 2.0  # s without an image, after which the picture is not live
_RATE_OVER = 30  # images


@dataclass(frozen=True)
class _Kept:
    arrived: float
    data: bytes


class CameraImages:
    """Subscribes to the camera.

    Attributes:
        topic: Where images are expected.
    """

    def __init__(self, node: Node, transport: str):
        """Subscribes.

        Args:
            node: The console's node.
            transport: "raw" or "compressed", as the perception node's `image_transport`.
        """
        self._node = node
        self._type = Image if transport == "raw" else CompressedImage
        base = node.resolve_topic_name("image")
        # As image_transport does: remapping names the base topic, the transport's suffix comes after.
        self.topic = base if transport == "raw" else node.resolve_topic_name(f"{base}/{transport}")
        self._qos_monitor = QosMonitor(node)
        self._images: OrderedDict[int, _Kept] = OrderedDict()
        self._bytes = 0
        self._held: dict[int, tuple[float, float]] = {}
        self._arrivals: deque[float] = deque(maxlen=_RATE_OVER)
        self._subscription = node.create_subscription(
            self._type,
            self.topic,
            self._on_image,
            SENSOR,
            raw=True,
            event_callbacks=self._qos_monitor.events(self.topic, SENSOR),
        )

    @property
    def newest_stamp(self) -> int | None:
        """ns; None before the first image."""
        return next(reversed(self._images), None)

    @property
    def rate(self) -> float:
        """Images a second."""
        times = list(self._arrivals)
        return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 and times[-1] > times[0] else 0.0

    def at(self, stamp: int) -> np.ndarray | None:
        """The image of a stamp, (H, W, 3) uint8 RGB; None where it is not kept.

        Raises:
            InvalidImageError: It cannot be read.
        """
        kept = self._images.get(stamp)
        if kept is None:
            return None
        return np.asarray(to_rgb(deserialize_message(kept.data, self._type)))

    def problem(self) -> str:
        """Why there is no live image; "" where there is one."""
        self._qos_monitor.forget_gone()
        if policy := self._qos_monitor.mismatches.get(self.topic):
            return f"a publisher of {self.topic} offers a QoS that does not fit (policy {policy})"
        silence = time.monotonic() - self._arrivals[-1] if self._arrivals else None
        if silence is not None and silence < _SILENCE:
            return ""
        kind = f"sensor_msgs/msg/{self._type.__name__}"
        hint = topic_hint(self._node, "image", self.topic, kind)
        publishers = self._node.count_publishers(self.topic)
        if silence is None:
            if publishers and not hint:
                return f"{self.topic} has a publisher, and no image has come yet"
            return hint or f"nobody publishes {self.topic}: is the camera running, and its topic remapped to `image`?"
        since = f"no image for {silence:.0f} s"
        return f"{since}: {hint or ('the camera is silent' if publishers else 'the camera is gone')}"

    def hold(self, number: int):
        """Keeps the images around this moment until `release`: a query was asked now."""
        now = time.monotonic()
        self._held[number] = now - _AROUND, now + _LONGEST

    def taken(self, number: int):
        """The node has taken the query: it is about an image that is there by now."""
        if (held := self._held.get(number)) is not None:
            self._held[number] = held[0], min(held[1], time.monotonic() + _AROUND)

    def release(self, number: int):
        """The query is over."""
        self._held.pop(number, None)

    def _on_image(self, data: bytes):
        now = time.monotonic()
        self._arrivals.append(now)
        stamp = _stamp(data)
        if (old := self._images.pop(stamp, None)) is not None:
            self._bytes -= len(old.data)
        self._images[stamp] = _Kept(now, data)
        self._bytes += len(data)
        for oldest in list(self._images):
            if self._bytes <= BUDGET or oldest == stamp:
                break
            if not self._is_held(self._images[oldest]):
                self._bytes -= len(self._images.pop(oldest).data)

    def _is_held(self, kept: _Kept) -> bool:
        return any(start <= kept.arrived <= end for start, end in list(self._held.values()))


def _stamp(data: bytes) -> int:
    """ns, of a serialized message that begins with a header: behind 4 bytes that tell the byte order."""
    if len(data) < 12:
        raise InvalidImageError(f"an image message of {len(data)} bytes has no header")
    seconds, nanoseconds = struct.unpack_from("<iI" if data[1] & 1 else ">iI", data, 4)
    return seconds * SECOND + nanoseconds
