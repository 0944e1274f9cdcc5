"""The console's store of images: by stamp, within a budget, and beyond it around the moment of a question."""

import numpy as np
import pytest

pytestmark = pytest.mark.ros

SIZE = 20 * 30 * 3


@pytest.fixture
def images(ros_context, monkeypatch):
    """(store, show): show(stamp in ns, value) lets an image arrive."""
    from node_harness import data
    from rclpy.node import Node
    from rclpy.serialization import serialize_message
    from sensor_msgs.msg import Image

    from lisa_ros.nodes.console import camera_images

    monkeypatch.setattr(camera_images, "BUDGET", 5 * SIZE)
    node = Node("images", context=ros_context)
    store = camera_images.CameraImages(node, "raw")

    def show(stamp, value=0, encoding="rgb8"):
        pixels = np.full((20, 30, 3), value, np.uint8)
        message = Image(height=20, width=30, encoding=encoding, step=90, data=data(pixels))
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 10**9)
        store._on_image(serialize_message(message))

    yield store, show
    node.destroy_node()


def test_images_are_found_by_their_stamp(images):
    store, show = images
    assert store.newest_stamp is None
    assert "nobody publishes" in store.problem()
    for number in range(3):
        show(1_700_000_000_000_000_001 + number, 10 * number)
    assert store.newest_stamp == 1_700_000_000_000_000_003
    assert (store.at(1_700_000_000_000_000_002) == 10).all()
    assert store.at(5) is None
    assert store.problem() == ""
    assert store.rate > 0


def test_old_images_go_unless_a_query_may_be_about_them(images):
    store, show = images
    show(1)
    for stamp in range(10, 20):
        show(stamp)
    assert store.at(1) is None
    assert store.at(19) is not None
    store.hold(7)
    show(30)
    for stamp in range(40, 50):
        show(stamp)
    assert store.at(30) is not None, "it came while a query was on its way"
    store.release(7)
    show(60)
    assert store.at(30) is None
    assert store.at(60) is not None


def test_an_image_that_cannot_be_read_is_an_error_with_a_reason(images):
    from lisa_ros.errors import InvalidImageError

    store, show = images
    show(1, encoding="foo8")
    with pytest.raises(InvalidImageError, match="foo8"):
        store.at(1)
