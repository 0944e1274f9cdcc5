"""The camera node as a process, heard by a real subscriber: rate, contents, truth, parameters and its end."""

import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from lisa_ros.simulator import frame_rng, generate_scene, noisy_depth, scene_at

rclpy = pytest.importorskip("rclpy")

from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.qos import QoSProfile, ReliabilityPolicy  # noqa: E402
from sensor_msgs.msg import CameraInfo, Image, TimeReference  # noqa: E402

pytestmark = pytest.mark.ros

PROFILE = Path(__file__).resolve().parents[2] / "config" / "fastdds.xml"
TOPICS = {"image": Image, "depth": Image, "camera_info": CameraInfo, "scene_time": TimeReference}
MODULE = "lisa_ros.nodes.simulation.camera"


def seconds(stamp):
    return stamp.sec + stamp.nanosec * 1e-9


class Listener:
    """Subscribes like a perception node (best effort) and keeps messages by stamp."""

    def __init__(self, context, namespace):
        self.node = rclpy.create_node("listener", namespace=namespace, context=context)
        self.executor = SingleThreadedExecutor(context=context)
        self.executor.add_node(self.node)
        self.got = {topic: {} for topic in TOPICS}
        quality = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
        for topic, kind in TOPICS.items():
            self.node.create_subscription(kind, topic, lambda m, t=topic: self._keep(t, m), quality)

    def _keep(self, topic, message):
        self.got[topic][seconds(message.header.stamp)] = message

    def sets(self):
        """Messages by topic for every stamp that came complete, in order."""
        stamps = set.intersection(*(set(messages) for messages in self.got.values()))
        return [{topic: self.got[topic][stamp] for topic in TOPICS} for stamp in sorted(stamps)]

    def listen(self, until, timeout=60.0):
        """Spins until `until()` holds."""
        end = time.monotonic() + timeout
        while not until():
            assert time.monotonic() < end, {topic: len(messages) for topic, messages in self.got.items()}
            self.executor.spin_once(timeout_sec=0.1)


@pytest.fixture
def listen(ros_context):
    listeners = []

    def create(namespace):
        listeners.append(Listener(ros_context, namespace))
        return listeners[-1]

    yield create
    for listener in listeners:
        listener.executor.shutdown()
        listener.node.destroy_node()


def start(start_python, namespace, **parameters):
    words = [word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")]
    return start_python(MODULE, "--ros-args", "-r", f"__ns:={namespace}", *words, FASTDDS_DEFAULT_PROFILES_FILE=PROFILE)


def pixels(message, dtype, *shape):
    assert message.step * message.height == len(message.data)
    return np.frombuffer(message.data, dtype).reshape(message.height, message.width, *shape)


def test_static_stream_at_30_hz_of_large_best_effort_images(listen, start_python):
    listener = listen("/still")
    camera = start(start_python, "/still", seed=21, reliability="best_effort")
    listener.listen(lambda: len(listener.sets()) >= 75)
    sets = listener.sets()[15:]
    stamps = [seconds(s["image"].header.stamp) for s in sets]
    assert 26.0 < (len(stamps) - 1) / (stamps[-1] - stamps[0]) < 34.0
    assert abs(stamps[-1] - time.time()) < 2.0
    truth = generate_scene(21, 480, 640)
    first, last = sets[0], sets[-1]
    for message in (first["image"], last["image"]):
        assert message.encoding == "rgb8" and message.header.frame_id == "camera_color_optical_frame"
        assert (pixels(message, np.uint8, 3) == truth.image).all()
    assert first["depth"].encoding == "16UC1" and first["depth"].header == first["image"].header
    assert np.abs(pixels(first["depth"], np.uint16) / 1000.0 - truth.depth).max() < 5.1e-4
    info = first["camera_info"]
    assert (info.width, info.height, info.distortion_model) == (640, 480, "plumb_bob")
    assert np.reshape(info.k, (3, 3)) == pytest.approx(truth.intrinsics)
    assert np.reshape(info.p, (3, 4))[:, :3] == pytest.approx(truth.intrinsics)
    seen = camera.wait_for("streaming scene")
    assert all(f"{item.colour} {item.category}" in seen for item in truth.objects)
    try:
        import tf2_msgs  # noqa: F401
    except ImportError:
        assert camera.output.count("tf2_msgs is not installed") == 1
    assert camera.stop() == 0


@pytest.mark.parametrize("motion", ["camera", "objects"])
def test_moving_stream_tells_the_truth_of_every_image(listen, start_python, motion):
    listener = listen(f"/moving_{motion}")
    start(
        start_python, f"/moving_{motion}", seed=5, width=160, height=120, rate=20.0, motion=motion,
        motion_rate=4.0, depth_encoding="32FC1", image_encoding="bgr8", frame_id="eye",
    )  # fmt: skip

    def by_moment():
        moments = defaultdict(list)
        for messages in listener.sets():
            moments[seconds(messages["scene_time"].time_ref)].append(messages)
        return moments

    listener.listen(lambda: len(by_moment()) >= 4)
    pictures = []
    for moment, sets in sorted(by_moment().items())[:4]:
        truth = scene_at(5, moment, motion, 120, 160)
        for messages in (sets[0], sets[-1]):
            assert messages["image"].encoding == "bgr8" and messages["image"].header.frame_id == "eye"
            assert (pixels(messages["image"], np.uint8, 3)[..., ::-1] == truth.image).mean() > 0.999
            assert pixels(messages["depth"], np.float32) == pytest.approx(truth.depth, abs=1e-5)
        pictures.append(truth.instances)
    assert (pictures[0] != pictures[1]).any()


@pytest.mark.parametrize("encoding", ["16UC1", "32FC1"])
def test_depth_noise_of_a_sensor(listen, start_python, encoding):
    listener = listen(f"/noisy_{encoding}")
    start(
        start_python, f"/noisy_{encoding}", seed=5, width=160, height=120, motion="camera", motion_rate=4.0,
        depth_noise="kinect", depth_encoding=encoding,
    )  # fmt: skip
    listener.listen(lambda: len({seconds(s["scene_time"].time_ref) for s in listener.sets()}) >= 3)
    for messages in listener.sets()[-2:]:
        moment = seconds(messages["scene_time"].time_ref)
        truth = scene_at(5, moment, "camera", 120, 160)
        noisy = noisy_depth(truth.depth, truth.intrinsics, "kinect", frame_rng(5, moment))
        if encoding == "16UC1":
            depth = pixels(messages["depth"], np.uint16) / 1000.0
            assert np.abs(depth - noisy).max() < 5.1e-4
        else:
            depth = pixels(messages["depth"], np.float32)
            assert (depth == noisy).all()
        assert ((depth == 0) == (noisy == 0)).all() and (depth == 0).any()
        assert (pixels(messages["image"], np.uint8, 3) == truth.image).all()


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"depth_noise": "sonar"}, "none, kinect, realsense"),
        ({"motion": "wobble"}, "motion"),
        ({"width": 4}, "width"),
        ({"rate": 0.0}, "rate"),
        ({"seed": "many"}, "seed"),
    ],
)
def test_bad_parameters_end_the_node_with_a_reason(start_python, parameters, words):
    camera = start(start_python, "/bad", **parameters)
    assert camera.wait(60.0) == 2
    assert words in camera.output
