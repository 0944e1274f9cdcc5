"""Bags on real topics: in lockstep every frame with all that belongs to it, in real time with /clock."""

import importlib.util
import shlex
import signal
import sys
import threading
import time

import numpy as np
import pytest
from bag_streams import Loose
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage

from lisa_ros.cli import main
from lisa_ros.errors import ConfigurationError
from lisa_ros.nodes.simulation.bag_player import BagPlayer
from lisa_ros.recordings import messages
from lisa_ros.recordings.bag_reader import RgbdBag
from lisa_ros.recordings.topics import STEP, stamp_of_index
from lisa_ros.scannet.convert import convert
from lisa_ros.sensor_messages.image_messages import to_depth, to_rgb

pytestmark = pytest.mark.ros

SENSOR = QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT)
KINDS = {
    "/camera/color/image_raw/compressed": CompressedImage,
    "/camera/depth/image_raw/compressedDepth": CompressedImage,
    "/camera/color/camera_info": CameraInfo,
    "/camera/depth/camera_info": CameraInfo,
}
IMAGE = next(iter(KINDS))


@pytest.fixture(scope="module")
def bag_path(golden, tmp_path_factory):
    """The golden scan as a bag."""
    path = tmp_path_factory.mktemp("bags") / "bag"
    convert(golden / "scannet" / "scene0000_00" / "scene0000_00.sens", path)
    return path


class Listener(Node):
    """Keeps what arrives, in order."""

    def __init__(self, context, prefix=""):
        super().__init__("listener", context=context)
        self.got: list[tuple[str, object]] = []
        for topic, kind in KINDS.items():
            self.create_subscription(kind, prefix + topic, lambda m, t=topic: self.got.append((t, m)), SENSOR)
        self.create_subscription(Clock, "/clock", lambda message: self.got.append(("/clock", message)), SENSOR)
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self)

    def listen(self, until, timeout=20.0):
        end = time.monotonic() + timeout
        while not until() and time.monotonic() < end:
            self._executor.spin_once(timeout_sec=0.05)
        assert until(), [topic for topic, _ in self.got]

    def of(self, topic):
        return [message for name, message in self.got if name == topic]


@pytest.fixture
def listener(ros_context):
    node = Listener(ros_context)
    yield node
    node.destroy_node()


@pytest.fixture
def player(ros_context, bag_path):
    """player(**options): a BagPlayer of the golden bag; all end with the test."""
    opened = []

    def create(**options):
        node = Node("player", context=ros_context)
        bag = RgbdBag(bag_path)
        opened.append((node, bag))
        return BagPlayer(node, bag, **options)

    yield create
    for node, bag in opened:
        node.destroy_node()
        bag.close()


def stamp(message):
    return message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec


def test_lockstep_publishes_one_frame_at_a_time_with_equal_pixels(player, listener):
    steps = player()
    assert steps.wait_for_subscriber(20)
    listener.listen(lambda: all(listener.count_publishers(topic) for topic in KINDS))
    for index in range(12):
        frame = steps.step()
        listener.listen(lambda count=index + 1: all(len(listener.of(topic)) == count for topic in KINDS))
        assert frame.index == index
        assert {stamp(listener.of(topic)[-1]) for topic in KINDS} == {stamp_of_index(index)}
        image, depth = listener.of(IMAGE)[-1], listener.of("/camera/depth/image_raw/compressedDepth")[-1]
        assert bytes(image.data) == bytes(frame.messages["image"].message.data)
        assert np.array_equal(to_rgb(image), frame.color()) and np.array_equal(to_depth(depth), frame.depth())
    assert steps.step() is None
    steps.rewind()
    assert steps.step().index == 0


def test_lockstep_tells_the_frames_time_where_the_clock_is_wanted(player, listener):
    steps = player()
    steps.open_clock()
    steps.wait_for_subscriber(20)
    listener.listen(lambda: listener.count_publishers("/clock"))
    steps.step()
    listener.listen(lambda: listener.of(IMAGE) and listener.of("/clock"))
    clock = listener.of("/clock")[-1].clock
    assert clock.sec * 1_000_000_000 + clock.nanosec == stamp_of_index(0)


def test_real_time_brings_every_frame_and_a_clock_that_runs_ahead(player, listener):
    playing = player()
    playing.open_clock()
    playing.wait_for_subscriber(20)
    listener.listen(lambda: all(listener.count_publishers(topic) for topic in [*KINDS, "/clock"]))
    reports = []
    thread = threading.Thread(target=lambda: reports.append(playing.play(rate=0.5)))
    thread.start()
    listener.listen(lambda: len(listener.of(IMAGE)) == 12)
    thread.join()
    (report,) = reports
    assert (report.frames, report.messages) == (12, 58)
    assert report.seconds >= 11 * STEP / 1e9 / 0.5
    assert [stamp(message) for message in listener.of(IMAGE)] == [stamp_of_index(index) for index in range(12)]
    clocks = [message.clock.sec * 1_000_000_000 + message.clock.nanosec for message in listener.of("/clock")]
    assert clocks == sorted(clocks) and clocks[-1] <= stamp_of_index(11) and len(clocks) > 12


def test_topics_can_be_renamed_and_missing_packages_are_told(player, ros_context):
    renamed = player(topics={topic: f"/robot{topic}" for topic in KINDS})
    node = Listener(ros_context, "/robot")
    assert renamed.wait_for_subscriber(20)
    node.listen(lambda: node.count_publishers(f"/robot{IMAGE}"))
    renamed.step()
    node.listen(lambda: node.of(IMAGE))
    node.destroy_node()
    try:
        import tf2_msgs  # noqa: F401
    except ImportError:
        assert renamed.left_out == {"/tf": "tf2_msgs/msg/TFMessage"}


def test_playing_can_be_stopped_and_bad_rates_are_refused(player):
    stopped = threading.Event()
    stopped.set()
    assert player().play(stopped=stopped, clock=False).messages <= 5  # those that were due at once
    with pytest.raises(ConfigurationError, match="rate=0"):
        player().play(rate=0)
    assert not player().wait_for_subscriber(0.05)


def test_command_line(bag_path, start_process, capsys):
    assert main(["play", str(bag_path / "none")]) == 2
    assert "does not exist" in capsys.readouterr().err
    assert main(["play", str(bag_path), "--rate", "0"]) == 2  # before it waits for anybody
    assert "rate=0.0 must be within" in capsys.readouterr().err
    assert main(["play", str(bag_path), "--wait", "0.1"]) == 1
    assert "nobody listens" in capsys.readouterr().out
    assert main(["play", str(bag_path), "--wait", "0", "--rate", "4"]) == 0
    printed = capsys.readouterr().out
    assert "12 frames in" in printed
    assert ("/tf" in printed) == (importlib.util.find_spec("tf2_msgs") is not None), "what is left out is not named"


def test_a_bag_with_topics_of_its_own_is_played(tmp_path, capsys):
    bag = Loose(tmp_path / "bag", ("/front/image", messages.IMAGE), ("/front/info", messages.CAMERA_INFO))
    for number in range(3):
        bag.image("/front/image", number, number, np.zeros((6, 8, 3), np.uint8), "rgb8")
    bag.close()
    play = ["play", str(bag.path), "--wait", "0"]
    assert main(play) == 2
    assert "it has /front/image, /front/info; image_topic names another one" in capsys.readouterr().err
    assert main([*play, "--image-topic", "/front/image", "--camera-info-topic", "/front/info"]) == 0
    assert "playing 3 frames" in capsys.readouterr().out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_playing_even_in_a_background_job(bag_path, start_process, number):
    play = [sys.executable, "-m", "lisa_ros", "play", str(bag_path), "--rate", "0.01", "--wait", "0"]
    playing = start_process(["sh", "-c", f"trap '' INT; exec {shlex.join(play)}"])
    playing.wait_for("playing 12 frames")
    playing.signal(number)
    assert playing.wait() == 130
