"""What a goal and the service `submit` ask for by themselves, and what the answer's clouds say: over real topics."""

import numpy as np
import pytest
from action_msgs.msg import GoalStatus
from lisa_ros.msg import SegmentationResult as Result
from node_harness import SECOND, depth_of, picture
from rclpy.parameter import Parameter
from sensor_msgs.msg import RegionOfInterest

from lisa_ros.client.conversion import read_cloud
from lisa_ros.geometry.poses import pose_matrix

pytestmark = pytest.mark.ros
LEFT = RegionOfInterest(x_offset=20, y_offset=10, width=70, height=80)  # the red square is in it, the blue one is not
HALF = RegionOfInterest(x_offset=60, y_offset=10, width=60, height=80)  # cuts the red square


def parameters(**values):
    return [Parameter(name, value=value).to_parameter_msg() for name, value in values.items()]


def mask_of(message):
    return np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)[:, : message.width] == 255


def stamp_of(header):
    return header.stamp.sec * SECOND + header.stamp.nanosec


def roi_of(target):
    return target.roi.x_offset, target.roi.y_offset, target.roi.width, target.roi.height


def vector(message):
    return np.array([message.x, message.y, message.z])


def axis(pose, number):
    """Direction of an axis of a pose."""
    turn = pose.orientation
    return pose_matrix([0, 0, 0, turn.x, turn.y, turn.z, turn.w])[:3, number]


def show(robot):
    """Shows an image, and returns its stamp when it has come through."""
    stamp = robot.show()
    robot.ask_about(stamp, "red has come through")
    return stamp


# -- clouds


def test_each_point_knows_its_target(robot):
    result = robot.ask_about(robot.show(), "the red, the green and the blue one")
    assert [target.phrase for target in result.targets] == ["red", "green", "blue"]
    assert robot.until(lambda: robot.seen["points"] and robot.seen["points"][-1].header == result.header)
    cloud = read_cloud(robot.seen["points"][-1])
    points, targets = cloud.points, cloud.targets
    counts = np.bincount(targets, minlength=3)
    assert counts.tolist() == [target.point_count for target in result.targets] and counts[1] == 0 < counts[2]
    assert (np.diff(targets.astype(int)) >= 0).all(), "one target after the other"
    for index in (0, 2):
        centre, size = result.targets[index].box.pose.position, result.targets[index].extents
        reach = np.linalg.norm([size.x, size.y, size.z]) / 2 + 1e-3
        own = points[targets == index]
        assert np.linalg.norm(own - [centre.x, centre.y, centre.z], axis=1).max() < reach


def located(robot, text, **parameters):
    """Result of a query about a red brick before a plane, and the markers of its answer.

    The parameters are taken back.
    """
    image, depth = np.full((120, 160, 3), 90, np.uint8), np.full((120, 160), 1000, np.uint16)
    image[30:70, 40:60], depth[30:70, 40:60] = (220, 30, 30), 900
    assert robot.set(**parameters) == [(True, "")] * len(parameters)
    result = robot.ask_about(robot.show(image, depth), text)
    robot.set(**{name: type(value)() for name, value in parameters.items()})
    assert robot.until(
        lambda: robot.seen["markers"] and robot.seen["markers"][-1].markers[0].header.stamp == result.header.stamp
    )
    return result, robot.seen["markers"][-1].markers


@pytest.mark.parametrize(
    "parameters",
    [{"up": [0.0, 0.0, -1.0]}, {"target_frame": "table", "camera_pose": [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0]}],
    ids=["up", "target_frame"],
)
def test_seen_from_above_the_brick_lies_on_a_table(robot, parameters):
    result, markers = located(robot, "the red one", **parameters)
    target = result.targets[0]
    assert result.has_support and target.has_support and target.has_grasp
    assert result.support.header == target.box.header and target.height == pytest.approx(0.1, abs=0.005)
    # 20 columns and 40 rows at f = 150 and 0.9 m
    assert vector(target.extents) == pytest.approx((0.24, 0.12, 0.1), abs=0.012)
    assert target.grasp_width == pytest.approx(0.12, abs=0.012)
    assert abs(axis(target.grasp, 1)[0]) == pytest.approx(1, abs=0.02), "the fingers close along the columns"
    up = np.array([0.0, 0.0, -1.0]) if "up" in parameters else np.array([0.0, 0.0, 1.0])
    np.testing.assert_allclose(axis(target.box.pose, 2), up, atol=0.02)
    np.testing.assert_allclose(axis(target.grasp, 2), -up, atol=0.02)
    np.testing.assert_allclose(axis(result.support.pose, 2), up, atol=0.02)
    gap = vector(target.top_surface.position) - vector(result.support.pose.position)
    assert gap @ up == pytest.approx(0.1, abs=0.005)
    assert {marker.ns for marker in markers} >= {"box", "label", "closing", "approach", "support"}


def test_seen_from_the_front_it_hangs_on_a_wall(robot):
    result, markers = located(robot, "the red one", up=[0.0, -1.0, 0.0])
    target = result.targets[0]
    assert target.has_box and not result.has_support and not target.has_support and not target.has_grasp
    assert np.isnan(target.height) and any(warning.startswith("no_support") for warning in target.grasp_warnings)
    assert {marker.ns for marker in markers}.isdisjoint({"closing", "approach", "support"})


def has_scene(robot, wait):
    """Whether the scene cloud of a new answer comes."""
    stamp = show(robot)
    return robot.until(lambda: any(stamp_of(cloud.header) == stamp for cloud in robot.seen["scene_points"]), wait)


def test_the_scene_cloud_is_made_for_those_who_listen(robot):
    assert has_scene(robot, 20.0)
    robot.stop_listening("scene_points")
    robot.spin(1.0)  # the node hears of it
    robot.seen["scene_points"].clear()
    result = robot.ask_about(robot.show(), "red and nobody listens")
    assert result.status == Result.OK and result.targets[0].has_box
    robot.listen("scene_points")
    robot.spin(1.0)
    assert not robot.seen["scene_points"], "an older one is outdated, and an empty one would pass for no obstacles"
    assert any(has_scene(robot, 1.0) for _ in range(15)), "the node hears of the listener in time"
    nothing = robot.ask_about(robot.show(), "nothing at all")
    robot.stop_listening("scene_points")
    robot.seen["scene_points"].clear()
    robot.listen("scene_points")
    robot.spin(1.0)
    assert nothing.status == Result.NO_TARGET and not robot.seen["scene_points"]


# -- options of a goal


def test_a_goal_sets_mode_and_length_for_itself(robot):
    show(robot)
    _, masked = robot.goal("the red and the blue", mode="mask")
    assert (masked.status, masked.answer, len(masked.targets)) == (Result.OK, "", 1)
    _, worded = robot.goal("limit of the red one", max_new_tokens=17)
    assert "limit 17" in worded.answer
    _, default = robot.goal("limit of the red one")
    assert "limit 512" in default.answer


def test_a_goal_sets_the_frame_of_its_boxes(robot):
    stamp = show(robot)
    robot.set(target_frame="table", camera_pose=[0.0, 0.0, 2.0, 1.0, 0.0, 0.0, 0.0])
    _, table = robot.goal("red", image_stamp=stamp)
    _, optical = robot.goal("red", image_stamp=stamp, target_frame="camera")
    _, nowhere = robot.goal("red", image_stamp=stamp, target_frame="shelf")
    robot.set(target_frame="")
    assert table.targets[0].box.header.frame_id == "table" and table.targets[0].centroid.z == pytest.approx(
        1.1, abs=0.01
    )
    assert optical.targets[0].box.header.frame_id == "camera"
    assert optical.targets[0].centroid.z == pytest.approx(0.9, abs=0.01)
    # a fixed pose leads to `table` only, and of this frame nothing is known
    assert nowhere.status == Result.NO_TRANSFORM and "'shelf'" in nowhere.message and nowhere.targets[0].area


def test_a_goal_sets_cloud_options_for_itself(robot):
    stamp = show(robot)
    _, fine = robot.goal("red", image_stamp=stamp)
    _, coarse = robot.goal("red", image_stamp=stamp, cloud=parameters(voxel_size=0.05))
    _, prefixed = robot.goal("red", image_stamp=stamp, cloud=parameters(**{"cloud.voxel_size": 0.05}))
    assert coarse.targets[0].point_count == prefixed.targets[0].point_count < fine.targets[0].point_count / 4
    _, far = robot.goal("red", image_stamp=stamp, cloud=parameters(min_range=2.0))
    assert far.status == Result.NO_DEPTH and "min_range" in far.message
    assert robot.goal("red", image_stamp=stamp)[1].targets[0].point_count == fine.targets[0].point_count


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mode": "loud"}, "chat, mask"),
        ({"max_new_tokens": 9999}, "between 1 and 4096"),
        ({"cloud": parameters(voxel_size=7.0)}, "voxel_size=7.0"),
        ({"cloud": parameters(voxels=7.0)}, "there is no parameter cloud.voxels"),
        ({"region": RegionOfInterest(width=5)}, "no pixels"),
        ({"region": RegionOfInterest(x_offset=100, width=61, height=5)}, "61x5 at (100, 0)"),
        ({"mode": "mask", "conversation_id": "masks"}, "conversation"),
    ],
)
def test_a_bad_option_is_refused_with_the_reason(robot, options, words):
    show(robot)
    status, result = robot.goal("the red one", **options)
    assert (status, result.status) == (GoalStatus.STATUS_ABORTED, Result.REJECTED)
    assert words in result.message, result.message


def test_a_region_is_asked_about_and_answered_in_the_whole_image(robot):
    stamp = show(robot)
    _, whole = robot.goal("the red and the blue", image_stamp=stamp)
    _, left = robot.goal("the red and the blue", image_stamp=stamp, region=LEFT)
    red, blue = left.targets
    assert blue.kind == blue.ABSENT and red.kind == red.SEGMENTED
    assert roi_of(red) == roi_of(whole.targets[0]) and not red.touches_border
    np.testing.assert_array_equal(mask_of(left.mask), picture()[..., 0] > 150)
    assert red.box == whole.targets[0].box and red.point_count == whole.targets[0].point_count
    assert left.header == whole.header
    _, half = robot.goal("the red one", image_stamp=stamp, region=HALF)
    cut = half.targets[0]
    assert roi_of(cut) == (60, 30, 20, 40) and cut.touches_border
    assert any(warning.startswith("touches_border") for warning in cut.grasp_warnings)
    _, outside = robot.goal("the red one", image_stamp=stamp, region=RegionOfInterest(width=30, height=30))
    assert outside.targets[0].kind == cut.ABSENT and outside.status == Result.NO_TARGET


def test_questions_about_one_region_share_its_features(robot):
    stamp = show(robot)
    regions = (LEFT, LEFT, HALF, RegionOfInterest())
    frames = [robot.goal("red", image_stamp=stamp, region=region)[1].answer.split(":")[0] for region in regions]
    assert frames[0] == frames[1] and len({*frames}) == 3


def test_a_conversation_stays_with_its_region(robot):
    show(robot)
    _, first = robot.goal("the blue one", conversation_id="part", region=LEFT)
    _, again = robot.goal("and the red one", conversation_id="part")
    _, named = robot.goal("and the blue one", conversation_id="part", region=LEFT)
    _, other = robot.goal("and the red one", conversation_id="part", region=HALF)
    robot.trigger("forget")
    assert first.targets[0].kind == named.targets[0].kind == first.targets[0].ABSENT
    assert again.answer.startswith("turn 2") and roi_of(again.targets[0]) == (40, 30, 40, 40)
    assert other.status == Result.REJECTED and "70x80 at (20, 10)" in other.message
    outside = RegionOfInterest(x_offset=159, width=9, height=9)
    _, refused = robot.goal("red", conversation_id="mistake", region=outside)
    _, mended = robot.goal("red", conversation_id="mistake")
    robot.trigger("forget")
    assert refused.status == Result.REJECTED and mended.status == Result.OK, mended.message


# -- the service submit


def test_a_submitted_query_is_known_by_its_id(robot):
    show(robot)
    response = robot.submit("the red one", query_id="fetch-7")
    assert response.accepted and response.query_id == "fetch-7" and not response.message
    result = robot.result_with("fetch-7")
    assert (result.status, result.query, result.targets[0].has_box) == (Result.OK, "the red one", True)
    unnamed = robot.submit("the blue one", with_cloud=False)
    assert unnamed.accepted and robot.result_with(unnamed.query_id).status == Result.OK
    assert robot.submit("red once more", query_id="fetch-7").accepted, "an id is free again with its result"
    assert robot.until(lambda: robot.results_of("red once more"))
    robot.spin(0.3)
    assert len([result for result in robot.results if result.query_id == "fetch-7"]) == 2


def test_a_submitted_query_has_the_options_of_a_goal(robot):
    stamp = show(robot)
    robot.show(np.ascontiguousarray(picture()[:, ::-1]), np.ascontiguousarray(depth_of(picture())[:, ::-1]))
    image_stamp = robot.get_clock().now().to_msg()
    image_stamp.sec, image_stamp.nanosec = stamp // SECOND, stamp % SECOND
    options = {"image_stamp": image_stamp, "region": LEFT, "cloud": parameters(voxel_size=0.05), "max_new_tokens": 3}
    robot.submit("limit of red and blue", query_id="options", **options)
    result = robot.result_with("options")
    assert stamp_of(result.header) == stamp and "limit 3" in result.answer
    red, blue = result.targets
    assert roi_of(red) == (40, 30, 40, 40) and blue.kind == blue.ABSENT and red.point_count < 60


def test_what_cannot_be_asked_is_refused_at_once_and_gets_no_result(robot):
    robot.stream()
    assert robot.submit("sleep 3 red", query_id="busy").accepted
    twice = robot.submit("the red one", query_id="busy")
    assert not twice.accepted and "in use" in twice.message and twice.query_id == "busy"
    for text, options, words in (
        ("", {}, "empty"),
        ("x" * 3000, {}, "3000"),
        ("red", {"mode": "loud"}, "chat, mask"),
        ("red", {"cloud": parameters(voxel_size=7.0)}, "voxel_size=7.0"),
        ("red", {"query_id": "i" * 129}, "129"),
        ("red", {"query_id": "a\nb"}, "printed"),
    ):
        response = robot.submit(text, **{"query_id": "refused", **options})
        assert not response.accepted and words in response.message, response.message
    assert robot.result_with("busy").status == Result.OK
    robot.spin(0.3)
    assert [result.query_id for result in robot.results if result.query_id in ("busy", "refused")] == ["busy"]


def test_submitted_queries_and_words_supersede_each_other(robot):
    robot.stream()
    robot.submit("sleep 20 red", query_id="first")
    robot.spin(0.3)
    robot.submit("sleep 20 blue", query_id="second")
    first = robot.result_with("first")
    assert first.status == Result.CANCELLED and "second" in first.message
    robot.spin(0.3)
    assert robot.ask("red at last").status == Result.OK
    assert robot.result_with("second").status == Result.CANCELLED


def test_a_region_out_of_the_image_is_a_result_with_its_id(robot):
    show(robot)
    response = robot.submit("red", query_id="outside", region=RegionOfInterest(x_offset=100, width=61, height=5))
    assert response.accepted, "no image was looked at yet"
    result = robot.result_with("outside")
    assert result.status == Result.REJECTED and "160x120" in result.message


def test_an_inactive_node_takes_no_submitted_query(robot):
    assert robot.transition("deactivate")
    response = robot.submit("red", query_id="asleep")
    assert robot.transition("activate")
    assert not response.accepted and "not active" in response.message
