import struct
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from std_msgs.msg import Header
from visualization_msgs.msg import Marker

from lisa_ros.geometry.poses import pose_matrix
from lisa_ros.nodes.markers import marker_array
from lisa_ros.nodes.messages import cloud_message, empty_cloud, image_message, quaternion, target_message
from lisa_ros.types import ABSENT, SEGMENTED, Target

pytestmark = pytest.mark.unit
HEADER = Header(frame_id="camera")


def test_a_cloud_reads_back_by_its_fields():
    points = np.array([[1.0, 2.0, 3.0], [-4.0, 5.5, 0.25]], np.float32)
    message = cloud_message(HEADER, points, np.array([[255, 128, 1], [0, 7, 9]], np.uint8))
    assert (message.width, message.height, message.row_step) == (2, 1, 2 * message.point_step)
    assert [(field.name, field.offset) for field in message.fields] == [("x", 0), ("y", 4), ("z", 8), ("rgb", 12)]
    for index, point in enumerate(points):
        x, y, z, rgb = struct.unpack_from("<fffI", bytes(message.data), index * message.point_step)
        assert (x, y, z) == tuple(point)
        assert [rgb >> 16, rgb >> 8 & 255, rgb & 255] == [[255, 128, 1], [0, 7, 9]][index]


def test_a_cloud_may_have_no_points():
    message = empty_cloud(HEADER)
    assert (message.width, message.row_step, len(message.data)) == (0, 0, 0) and len(message.fields) == 4


def test_masks_and_pictures_as_images():
    mask = np.array([[True, False, True]])
    message = image_message(HEADER, mask)
    assert (message.encoding, message.step, bytes(message.data)) == ("mono8", 3, b"\xff\x00\xff")
    picture = image_message(HEADER, np.zeros((2, 5, 3), np.uint8))
    assert (picture.encoding, picture.height, picture.width, picture.step) == ("rgb8", 2, 5, 15)


def test_a_target_is_cropped_to_its_region():
    mask = np.zeros((20, 30), bool)
    mask[5:9, 10:17] = True
    mask[6, 12] = False
    message = target_message(HEADER, Target("the mug", SEGMENTED, mask, None, 0.9), None, HEADER)
    roi = message.roi
    assert (roi.x_offset, roi.y_offset, roi.width, roi.height) == (10, 5, 7, 4)
    cropped = np.frombuffer(message.mask.data, np.uint8).reshape(4, 7)
    np.testing.assert_array_equal(cropped == 255, mask[5:9, 10:17])
    assert (message.area, message.components, message.touches_border, message.has_box) == (27, 1, False, False)


def test_an_absent_target_has_no_region():
    message = target_message(HEADER, Target("the fox", ABSENT, np.zeros((4, 4), bool)), None, HEADER)
    assert message.kind == message.ABSENT and message.area == 0 and len(message.mask.data) == 0


@given(st.lists(st.floats(-1, 1), min_size=4, max_size=4).filter(lambda q: np.linalg.norm(q) > 0.1))
def test_rotation_and_quaternion_are_the_same_turn(values):
    q = np.array(values) / np.linalg.norm(values)
    rotation = pose_matrix([0, 0, 0, *q])[:3, :3]
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    back = quaternion(rotation)
    found = np.array([back.x, back.y, back.z, back.w])
    assert back.w >= 0 and np.linalg.norm(found) == pytest.approx(1)
    np.testing.assert_allclose(pose_matrix([0, 0, 0, *found])[:3, :3], rotation, atol=1e-9)


def test_a_pose_moves_points():
    quarter = np.sqrt(0.5)
    np.testing.assert_allclose(pose_matrix([1, 2, 3, 0, 0, quarter, quarter]) @ [1, 0, 0, 1], [1, 3, 3, 1], atol=1e-12)


def test_markers_begin_by_clearing_and_show_boxes_only():
    report = SimpleNamespace(
        depth_coverage=1.0,
        point_count=5,
        centroid=np.ones(3),
        box_center=np.array([0.1, 0.2, 0.9]),
        box_rotation=np.eye(3),
        extents=np.array([0.3, 0.2, 0.0]),
    )
    mask = np.ones((2, 2), bool)
    targets = [
        target_message(HEADER, Target("mug", SEGMENTED, mask), report, HEADER),
        target_message(HEADER, Target("cup", SEGMENTED, mask), None, HEADER),
    ]
    clear, box, label = marker_array(HEADER, targets).markers
    assert clear.action == Marker.DELETEALL
    assert box.type == Marker.CUBE and box.pose.position.z == pytest.approx(0.9) and box.scale.z > 0
    assert label.text == "mug"
    assert len(marker_array(HEADER, []).markers) == 1
