"""A bag through the real perception node, which finds image, depth and calibration of every frame asked about."""

import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from lisa_ros.action import Segment
from lisa_ros.msg import SegmentationResult
from rclpy.action import ActionClient
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import PointCloud2
from two_lenses import off_the_ball, write_two_lenses

from lisa_ros import graph
from lisa_ros.client.conversion import read_cloud
from lisa_ros.geometry import CameraModel
from lisa_ros.nodes.simulation.bag_player import BagPlayer
from lisa_ros.recordings.bag_reader import RgbdBag
from lisa_ros.recordings.bag_writer import RgbdBagWriter
from lisa_ros.recordings.topics import RgbdTopics, stamp_of_index

pytestmark = pytest.mark.ros

SCRIPT = Path(__file__).parents[1] / "nodes" / "run_scripted.py"
COLOR, DEPTH = CameraModel(160, 120, 150.0, 150.0, 79.5, 59.5), CameraModel(80, 60, 75.0, 75.0, 39.5, 29.5)


def picture(frame):
    """Grey with a red square that moves with the frames: (120, 160, 3) uint8."""
    image = np.full((120, 160, 3), 90, np.uint8)
    image[40:80, 20 + 10 * frame : 60 + 10 * frame] = (230, 20, 20)
    return image


@pytest.fixture
def bag(tmp_path):
    """Five frames, in which a red square moves away by 10 cm a frame."""
    with RgbdBagWriter(tmp_path / "bag", COLOR, DEPTH) as writer:
        for frame in range(5):
            png = cv2.imencode(".png", picture(frame)[..., ::-1])[1].tobytes()
            writer.add(stamp_of_index(frame), png, "png", np.full((60, 80), 1000 + 100 * frame, np.uint16), np.eye(4))
    with RgbdBag(tmp_path / "bag") as bag:
        yield bag


class Client(Node):
    """Asks about frames by their stamps."""

    def __init__(self, context):
        super().__init__("client", context=context)
        self.points: list[PointCloud2] = []
        self.create_subscription(PointCloud2, "/lisa/points", self.points.append, 10)
        self.action = ActionClient(self, Segment, "/lisa/segment")
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self)

    def until(self, condition, timeout=60.0):
        end = time.monotonic() + timeout
        while not (found := condition()) and time.monotonic() < end:
            self._executor.spin_once(timeout_sec=0.05)
        return found

    def ask(self, stamp) -> SegmentationResult:
        goal = Segment.Goal(query="red", with_cloud=True)
        goal.image_stamp.sec, goal.image_stamp.nanosec = divmod(stamp, 1_000_000_000)
        sent = self.action.send_goal_async(goal)
        assert self.until(sent.done) and sent.result().accepted
        result = sent.result().get_result_async()
        assert self.until(result.done)
        return result.result().result.result

    def wait_until_heard(self, player):
        """Shows the first frame until its image, depth and cloud have come through once: discovery has two sides."""
        frame = player.step()
        for _ in range(20):
            if self.ask(frame.stamp).status == SegmentationResult.OK and self.until(lambda: self.points, 1.0):
                break
            player.publish(frame)
        self.points.clear()
        player.rewind()


def start_node(start_process, **values):
    """The node with the topics of launch arguments, as launch starts it, and a scripted engine."""
    (process,) = graph.processes({"use_sim_time": "true", **values})
    words = ["-r", f"__ns:=/{process.namespace}"]
    for name, topic in process.remappings:
        words += ["-r", f"{name}:={topic}"]
    for name, value in process.parameters.items():
        words += ["-p", f"{name}:={str(value).lower() if isinstance(value, bool) else value}"]
    return start_process([sys.executable, SCRIPT, "--ros-args", *words])


@pytest.fixture
def connected(ros_context, start_process):
    """connected(bag, **launch arguments) -> client and player, when the node has heard the first frame."""
    nodes = []

    def connect(bag, **values):
        process = start_node(start_process, **values)
        client, node = Client(ros_context), Node("player", context=ros_context)
        nodes.extend((client, node))
        player = BagPlayer(node, bag)
        player.open_clock()
        assert client.until(client.action.server_is_ready), process.output
        heard = ("image", "depth", "camera_info")
        assert client.until(lambda: all(player.matched()[role] for role in heard)), player.matched()
        assert client.until(lambda: client.count_publishers("/lisa/points"))
        client.wait_until_heard(player)
        return client, player

    yield connect
    for node in nodes:
        node.destroy_node()


def test_the_node_takes_compressed_frames_of_a_bag_in_lockstep(bag, connected):
    client, player = connected(bag, camera="scannet")
    for index in range(5):
        frame = player.step()
        result = client.ask(frame.stamp)
        assert result.status == SegmentationResult.OK, result.message
        stamp = result.header.stamp
        assert stamp.sec * 1_000_000_000 + stamp.nanosec == frame.stamp == stamp_of_index(index)
        mask = np.frombuffer(result.mask.data, np.uint8).reshape(result.mask.height, result.mask.width) > 0
        assert np.array_equal(mask, picture(index)[..., 0] == 230)
        assert client.until(lambda count=index + 1: len(client.points) == count)
        points = read_cloud(client.points[-1]).points
        assert np.allclose(points[:, 2], 1.0 + 0.1 * index, atol=1e-3)


def test_the_node_takes_depth_of_another_lens_that_the_player_registers(tmp_path, connected):
    """The node itself refuses such depth, and hears the depth camera's calibration as well."""
    topics = RgbdTopics()
    with RgbdBag(write_two_lenses(tmp_path / "bag"), depth_registration="register") as bag:
        client, player = connected(
            bag, image_topic=topics.image, depth_topic=topics.depth, camera_info_topic=topics.camera_info,
            depth_camera_info_topic=topics.depth_info,
        )  # fmt: skip
        result = client.ask(player.step().stamp)
        assert result.status == SegmentationResult.OK, result.message
        assert client.until(lambda: client.points)
    points = read_cloud(client.points[-1]).points
    assert len(points) > 200 and np.quantile(off_the_ball(points), 0.95) < 0.004
