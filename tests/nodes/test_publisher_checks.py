"""Hints where a camera publishes another topic or type than the node subscribes to; real nodes in one process."""

import time

import pytest
import rclpy
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from lisa_ros.nodes.perception.frames.publisher_checks import topic_hint

pytestmark = pytest.mark.ros

IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"


@pytest.fixture(scope="module")
def listener(shared_context):
    node = rclpy.create_node("listener", context=shared_context)
    yield node
    node.destroy_node()


@pytest.fixture
def camera(shared_context, listener):
    """camera(topic, kind) publishes in a node of its own and waits until the listener knows."""
    node = rclpy.create_node("driver", namespace="/maker", context=shared_context)

    def publish(topic, kind):
        node.create_publisher(kind, topic, QoSProfile(depth=1))
        end = time.monotonic() + 10
        while not listener.get_publishers_info_by_topic(topic):
            assert time.monotonic() < end
            time.sleep(0.02)

    yield publish
    node.destroy_node()


@pytest.mark.parametrize(
    ("name", "topic", "kind", "sent", "words"),
    [
        ("image", "/a/image", IMAGE, ("/a/image/compressed", CompressedImage), "set image_transport to compressed"),
        ("image", "/b/image/compressed", IMAGE, ("/b/image/compressed", CompressedImage), "remap `image` to /b/image"),
        ("image", "/c/image/compressed", COMPRESSED, ("/c/image", Image), "set image_transport to raw"),
        ("image", "/d/image/compressed/compressed", COMPRESSED, ("/d/image/compressed", CompressedImage),
         "remap `image` to /d/image (without"),
        ("image", "/e/image", IMAGE, ("/e/image", CompressedImage), "remap `image/compressed` to /e/image"),
        ("image", "/f/image", IMAGE, ("/f/image/theora", Image), "republish"),
        ("depth", "/g/depth", IMAGE, ("/g/depth/compressedDepth", CompressedImage),
         "set depth_transport to compressedDepth"),
        ("depth_camera_info", "/j/info", "sensor_msgs/msg/CameraInfo", ("/j/info", Image), "remap `depth_camera_info`"),
        ("camera_info", "/h/info", "sensor_msgs/msg/CameraInfo", ("/h/info", Image), "sensor_msgs/msg/CameraInfo"),
    ],
)  # fmt: skip
def test_what_to_set(listener, camera, name, topic, kind, sent, words):
    assert topic_hint(listener, name, topic, kind) == ""
    camera(*sent)
    told = topic_hint(listener, name, topic, kind)
    assert words in told and f"{sent[0]} by /maker/driver" in told and "reliable, volatile" in told, told


def test_a_camera_that_fits_needs_no_words(listener, camera):
    camera("/i/image", Image)
    camera("/i/image/compressed", CompressedImage)
    camera("/i/camera_info", CameraInfo)
    assert topic_hint(listener, "image", "/i/image", IMAGE) == ""
    assert topic_hint(listener, "image", "/i/image/compressed", COMPRESSED) == ""
