"""Plays RGB-D bags on real topics: frame by frame on request (lockstep), or in real time with /clock.

The bytes of the bag go out as they are, but for depth of another lens where the bag was opened to register or trust it.
No `ros2 bag` is needed, which machines without a ROS install do not have.
"""

import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module

from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from rosgraph_msgs.msg import Clock

from lisa_ros.errors import ConfigurationError
from lisa_ros.recordings.bag_reader import RgbdBag
from lisa_ros.recordings.frames import BagMessage, RgbdFrame
from lisa_ros.recordings.played_messages import PlayedMessages

_CLOCK_PERIOD = 10_000_000  # ns
_RATES = (0.01, 100.0)
_DISCOVERY = 0.5  # s


@dataclass
class PlayReport:
    """What was played.

    Attributes:
        messages: Messages of all topics.
        frames: Images.
        seconds: Wall time.
        worst_delay: The longest delay of a message behind its time, s.
        depth: Depth images.
        left_out: Depth images that were not played, since they could not be registered.
        reason: Why the last one of them was not.
    """

    messages: int = 0
    frames: int = 0
    seconds: float = 0.0
    worst_delay: float = 0.0
    depth: int = 0
    left_out: int = 0
    reason: str = ""


class BagPlayer:
    """Publishes a bag's messages from a node, on the bag's topics.

    topics: bag topic -> another one to publish on. Topics whose message package is not installed are left out,
    logged, and listed in `left_out`. The node need not spin. The bag stays the caller's to close.
    """

    def __init__(self, node: Node, bag: RgbdBag, topics: Mapping[str, str] | None = None):
        self._node, self._bag = node, bag
        self.left_out: dict[str, str] = {}
        self._publishers: dict[str, Publisher] = {}
        self._clock: Publisher | None = None
        self._frames: Iterator[RgbdFrame] | None = None
        self._messages = PlayedMessages(bag)
        self._warned_left_out = False
        for topic, kind in bag.topics.items():
            message = _message_class(kind)
            if message is None:
                self.left_out[topic] = kind
                continue
            quality = _quality(topic, bag.qualities[topic])
            self._publishers[topic] = node.create_publisher(message, (topics or {}).get(topic, topic), quality)
        if self.left_out:
            topics_left_out = ", ".join(f"{topic} ({kind})" for topic, kind in self.left_out.items())
            node.get_logger().info(f"not played, since their message packages are not installed: {topics_left_out}")

    @property
    def topics(self) -> list[str]:
        """The bag's topics that are played."""
        return list(self._publishers)

    def close(self):
        """Removes the publishers."""
        for publisher in [*self._publishers.values(), *([self._clock] if self._clock else [])]:
            self._node.destroy_publisher(publisher)
        self._publishers, self._clock = {}, None

    def wait_for_subscriber(self, timeout: float) -> bool:
        """Waits until the images have a subscriber, up to `timeout` s. Returns whether they have one.

        Discovery has two sides: a subscriber that this side knows may not know this side yet. Half a second is given to
        it; who must not miss the first frame publishes it again until it is answered.
        """
        end = time.monotonic() + timeout
        while not (found := self.matched()["image"]) and time.monotonic() < end:
            time.sleep(0.02)
        if found:
            time.sleep(_DISCOVERY)
        return found > 0

    def matched(self) -> dict[str, int]:
        """Role ("image", "depth", ...) -> how many subscribers its topic has now; without what is left out."""
        return {
            role: self._publishers[topic].get_subscription_count()
            for topic, role in self._bag.roles.items()
            if topic in self._publishers
        }

    def step(self) -> RgbdFrame | None:
        """Lockstep: publishes the next frame and returns it; None at the end. Raises RecordingError."""
        if self._frames is None:
            self._frames = self._bag.frames()
        frame = next(self._frames, None)
        if frame is not None:
            self.publish(frame)
        return frame

    def rewind(self):
        """The next `step` begins with the first frame again."""
        self._frames = None

    def publish(self, frame: RgbdFrame):
        """Publishes the messages of one frame, the image last; before them its stamp, where the clock is open."""
        if self._clock is not None:
            self._publish_clock(frame.stamp)
        for message in self._messages.of_frame(frame):
            self._send(message)
        self._warn_left_out(self._messages)

    def open_clock(self):
        """From now on the player is the source of /clock."""
        if self._clock is None:
            self._clock = self._node.create_publisher(Clock, "/clock", QoSProfile(depth=10))

    def play(self, rate: float = 1.0, clock: bool = True, stopped: threading.Event | None = None) -> PlayReport:
        """Real time: publishes every message when its time has come; returns when the bag ends or `stopped` is set.

        rate: bag seconds a wall second. clock: publish /clock, at least every 10 ms of wall time and never behind a
        message. Raises ConfigurationError for a rate out of range, RecordingError for a damaged bag.
        """
        check_rate(rate)
        if clock:
            self.open_clock()
        stopped = stopped or threading.Event()
        begin, first = time.monotonic_ns(), self._bag.span[0]
        published = first - 1  # time on /clock
        report, messages = PlayReport(), PlayedMessages(self._bag)
        for message in messages:
            due = begin + round((message.time - first) / rate)
            published = self._wait(due, lambda now: first + round((now - begin) * rate), published, stopped)
            if stopped.is_set():
                break
            if self._clock is not None and message.time > published:
                published = self._publish_clock(message.time)
            self._send(message)
            report.messages += 1
            role = self._bag.roles.get(message.topic)
            report.frames += role == "image"
            report.depth += role == "depth"
            report.worst_delay = max(report.worst_delay, (time.monotonic_ns() - due) / 1e9)
            self._warn_left_out(messages)
        report.left_out, report.reason = messages.left_out, messages.reason
        report.seconds = (time.monotonic_ns() - begin) / 1e9
        return report

    def _warn_left_out(self, messages: PlayedMessages):
        if messages.left_out and not self._warned_left_out:
            self._warned_left_out = True
            self._node.get_logger().warning(f"depth is left out: {messages.reason}")

    def _wait(self, due: int, bag_time, published: int, stopped: threading.Event) -> int:
        """Waits until the monotonic time `due` and publishes /clock meanwhile. Returns the last published time."""
        while (left := due - time.monotonic_ns()) > 0 and not stopped.wait(min(left, _CLOCK_PERIOD) / 1e9):
            now = min(time.monotonic_ns(), due)
            if self._clock is not None and now < due:
                published = self._publish_clock(bag_time(now))
        return published

    def _publish_clock(self, now: int) -> int:
        self._clock.publish(Clock(clock=Time(nanoseconds=now).to_msg()))
        return now

    def _send(self, message: BagMessage):
        publisher = self._publishers.get(message.topic)
        if publisher is not None:
            publisher.publish(message.data)


def check_rate(rate: float):
    """Raises ConfigurationError for a rate at which nothing can be played."""
    if not _RATES[0] <= rate <= _RATES[1]:
        raise ConfigurationError(f"rate={rate} must be within {_RATES[0]}..{_RATES[1]}")


def _message_class(kind: str):
    """The class of a type such as "sensor_msgs/msg/Image"; None where its package is not installed."""
    package, _, name = kind.partition("/msg/")
    try:
        return getattr(import_module(f"{package}.msg"), name, None)
    except ImportError:
        return None


def _quality(topic: str, recorded: list) -> QoSProfile:
    # Reliable serves subscribers of both kinds; only what was recorded as latched is offered so.
    latched = topic == "/tf_static" or any(item.durability.name == "TRANSIENT_LOCAL" for item in recorded)
    depth = max([10, *(item.depth for item in recorded)])
    durability = DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE
    return QoSProfile(depth=min(depth, 1000), reliability=ReliabilityPolicy.RELIABLE, durability=durability)
