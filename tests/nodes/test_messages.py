import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from std_msgs.msg import Header
from visualization_msgs.msg import Marker

from lisa_ros.client.conversion import read_cloud
from lisa_ros.geometry import CloudReport, SupportPlane, TopGrasp
from lisa_ros.geometry.poses import pose_matrix
from lisa_ros.nodes.common.messages import (
    cloud_message,
    empty_cloud,
    image_message,
    point,
    quaternion,
)
from lisa_ros.nodes.perception.queries.region import Region
from lisa_ros.nodes.perception.results.markers import marker_array
from lisa_ros.nodes.perception.results.target_messages import support_message, target_message
from lisa_ros.types import ABSENT, SEGMENTED, Target

pytestmark = pytest.mark.unit
HEADER = Header(frame_id="camera")


def test_a_cloud_reads_back_by_its_fields():
    points = np.array([[1.0, 2.0, 3.0], [-4.0, 5.5, 0.25]], np.float32)
    message = cloud_message(HEADER, points, np.array([[255, 128, 1], [0, 7, 9]], np.uint8))
    assert (message.width, message.height, message.row_step) == (2, 1, 2 * message.point_step)
    assert [(field.name, field.offset) for field in message.fields] == [("x", 0), ("y", 4), ("z", 8), ("rgb", 12)]
    for index, expected in enumerate(points):
        x, y, z, rgb = struct.unpack_from("<fffI", bytes(message.data), index * message.point_step)
        assert (x, y, z) == tuple(expected)
        assert [rgb >> 16, rgb >> 8 & 255, rgb & 255] == [[255, 128, 1], [0, 7, 9]][index]


def test_points_of_several_targets_know_theirs():
    points = np.arange(12, dtype=np.float32).reshape(4, 3)
    colors = np.arange(12, dtype=np.uint8).reshape(4, 3)
    targets = np.array([0, 0, 2, 70000])
    message = cloud_message(HEADER, points, colors, targets)
    assert (message.fields[-1].name, message.fields[-1].offset) == ("target", 16)
    found = [struct.unpack_from("<fffII", bytes(message.data), n * message.point_step)[4] for n in range(4)]
    assert found == [0, 0, 2, 70000]
    for cloud in (message, cloud_message(HEADER, points, colors)):
        read = read_cloud(cloud)
        np.testing.assert_array_equal(read.points, points)
        np.testing.assert_array_equal(read.colors, colors)
    np.testing.assert_array_equal(read_cloud(message).targets, targets)
    assert read_cloud(cloud).targets is None


def test_a_cloud_may_have_no_points():
    message = empty_cloud(HEADER)
    assert (message.width, message.row_step, len(message.data)) == (0, 0, 0)
    assert [field.name for field in message.fields] == ["x", "y", "z", "rgb", "target"]


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


def report(support=True, **changes):
    """A box 0.9 m in front of the camera, 30 cm long, 4 cm wide, flat, on a plane that it looks down on."""
    rotation = np.column_stack([[1, 0, 0], [0, 0, 1], [0, -1, 0]]).astype(float)  # x, y of the box, up
    grasp_rotation = rotation @ np.diag([1, -1, -1])
    plane = SupportPlane(np.array([0.0, -1.0, 0.0]), -0.2)
    position, top = np.array([0.1, 0.19, 0.9]), np.array([0.1, 0.18, 0.9])
    values = {
        "points": np.zeros((5, 3), np.float32),
        "colors": np.zeros((5, 3), np.uint8),
        "scene_points": np.zeros((0, 3), np.float32),
        "scene_colors": np.zeros((0, 3), np.uint8),
        "centroid": np.ones(3),
        "box_center": position,
        "box_rotation": rotation,
        "extents": np.array([0.3, 0.04, 0.0]),
        "depth_coverage": 1.0,
        "point_count": 5,
        "components": 1,
        "touches_border": False,
        "support": plane if support else None,
        "completed": True,
        "visible_share": 0.6,
        "center_stddev": np.array([0.01, 0.002, 0.003]),
        "extents_stddev": np.array([0.02, 0.004, 0.005]),
        "height": 0.02 if support else float("nan"),
        "grasp": TopGrasp(position, grasp_rotation, 0.04, top) if support else None,
        "warnings": (),
    }
    return CloudReport(**{**values, **changes})


def message_of(report, phrase="mug", mask=None, region=None):
    mask = np.ones((2, 2), bool) if mask is None else mask
    return target_message(HEADER, Target(phrase, SEGMENTED, mask), report, Header(frame_id="base"), region)


def axes_of(pose):
    """(3, 3), axes as columns."""
    turn = pose.orientation
    return pose_matrix([0, 0, 0, turn.x, turn.y, turn.z, turn.w])[:3, :3]


def test_a_target_says_how_to_grasp_it():
    told = report(warnings=("occluded: something stands before it",))
    message = message_of(told)
    assert message.has_box and message.has_support and message.has_grasp and message.completed
    assert message.box.header.frame_id == "base"
    np.testing.assert_allclose(axes_of(message.box.pose), told.box_rotation, atol=1e-9)
    np.testing.assert_allclose(axes_of(message.grasp), told.grasp.rotation, atol=1e-9)
    assert message.grasp.position == point(told.grasp.position)
    assert message.top_surface.position == point(told.grasp.top)
    assert message.top_surface.orientation == message.grasp.orientation
    assert (message.grasp_width, message.height) == pytest.approx((0.04, 0.02))
    assert message.visible_share == pytest.approx(0.6)
    assert (message.center_stddev.x, message.extents_stddev.z) == (0.01, 0.005)
    assert message.grasp_warnings == ["occluded: something stands before it"]


def test_a_target_without_a_support_has_a_box_and_no_grasp():
    message = message_of(report(support=False))
    assert message.has_box and not message.has_support and not message.has_grasp and np.isnan(message.height)
    nowhere = message_of(None)
    assert not nowhere.has_box and np.isnan(nowhere.height) and not nowhere.grasp_warnings


def test_a_mask_that_ends_at_the_edge_of_its_region_may_go_on_outside():
    mask = np.zeros((20, 30), bool)
    mask[5:10, 8:12] = True
    inside = message_of(report(), mask=mask, region=Region(4, 2, 20, 15))
    assert not inside.touches_border and not inside.grasp_warnings
    cut = message_of(report(), mask=mask, region=Region(8, 2, 20, 15))
    assert cut.touches_border and [warning.split(":")[0] for warning in cut.grasp_warnings] == ["touches_border"]
    told = message_of(
        report(touches_border=True, warnings=("touches_border: x",)), mask=mask, region=Region(8, 2, 9, 9)
    )
    assert len(told.grasp_warnings) == 1


@given(
    st.lists(st.floats(-1, 1), min_size=3, max_size=3).filter(lambda normal: np.linalg.norm(normal) > 0.1),
    st.floats(-2, 2),
    st.lists(st.floats(-2, 2), min_size=3, max_size=3),
)
def test_the_support_is_a_pose_on_the_plane(normal, offset, near):
    plane = SupportPlane(np.array(normal) / np.linalg.norm(normal), offset)
    pose = support_message(HEADER, plane, np.array(near)).pose
    origin = np.array([pose.position.x, pose.position.y, pose.position.z])
    assert plane.height(origin) == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(np.cross(np.array(near) - origin, plane.normal), 0, atol=1e-9)  # right below
    np.testing.assert_allclose(axes_of(pose)[:, 2], plane.normal, atol=1e-6)


def test_markers_begin_by_clearing_and_show_boxes_only():
    targets = [message_of(report(support=False)), message_of(None, "cup")]
    clear, *shown = marker_array(HEADER, targets).markers
    box, label, uncertainty = shown
    assert clear.action == Marker.DELETEALL
    assert box.type == Marker.CUBE and box.pose.position.z == pytest.approx(0.9) and box.scale.z > 0
    assert label.text == "mug"
    assert (uncertainty.scale.x, uncertainty.scale.y) == pytest.approx((0.04, 0.008))
    assert len(marker_array(HEADER, []).markers) == 1


def test_markers_show_the_gripper_its_way_in_and_the_support():
    targets = [message_of(report()), message_of(report(warnings=("too_wide: 12 cm",)), "")]
    support = support_message(HEADER, report().support, np.array([0.1, 0.19, 0.9]))
    markers = {(marker.ns, marker.id): marker for marker in marker_array(HEADER, targets, support).markers}
    assert {id for name, id in markers if name == "box"} == {0, 1}
    closing = markers["closing", 0]
    across = np.array([[end.x, end.y, end.z] for end in closing.points[:2]])
    ends = across @ axes_of(closing.pose).T + [0.1, 0.19, 0.9]
    np.testing.assert_allclose(np.ptp(ends, axis=0), [0, 0, 0.04], atol=1e-9)  # the shorter side lies along the view
    start, tip = markers["approach", 0].points
    assert (tip.x, tip.y, tip.z) == pytest.approx((0.1, 0.18, 0.9)) and start.y < tip.y - 0.05  # from above: y is down
    assert markers["label", 0].text == "mug\n40 mm" and markers["label", 1].text == "target 1\n40 mm\ntoo wide"
    assert markers["box", 0].color != markers["box", 1].color
    plane = markers["support", 0]
    assert plane.scale.x == plane.scale.y > 0.3 and plane.scale.z < 0.01 and 0 < plane.color.a < 0.5
    keys = [(marker.ns, marker.id) for marker in marker_array(HEADER, targets, support).markers]
    assert len(set(keys)) == len(keys), "RViz would show the last of them only"
