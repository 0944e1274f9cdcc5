"""One query for several things, each found or absent: by action and service, over real topics."""

import time

import numpy as np
import pytest
from action_msgs.msg import GoalStatus
from lisa_ros.action import Segment
from lisa_ros.msg import SegmentationResult as Result
from lisa_ros.msg import SegmentationTarget as Target
from node_harness import SECOND
from sensor_msgs.msg import RegionOfInterest
from visualization_msgs.msg import Marker

from lisa_ros.client.conversion import read_cloud

pytestmark = pytest.mark.ros


def mask_of(message):
    return np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)[:, : message.width] == 255


def kinds(result):
    return [(target.phrase, target.kind) for target in result.targets]


def labels(robot):
    """Of the newest markers."""
    return {marker.text.splitlines()[0] for marker in robot.seen["markers"][-1].markers if marker.ns == "label"}


@pytest.fixture
def stamp(robot):
    """Of an image with a red and a blue square that has come through."""
    stamp = robot.show()
    robot.ask_about(stamp, "red has come through")
    return stamp


def test_each_phrase_is_found_or_absent_in_the_order_of_the_phrases(robot, stamp):
    phrases = ["the blue square", "the green square", "the red square"]
    status, result = robot.goal("", phrases=phrases, image_stamp=stamp)
    assert (status, result.status, result.message) == (GoalStatus.STATUS_SUCCEEDED, Result.OK, "")
    assert result.query == "the blue square, the green square, the red square"
    assert kinds(result) == list(zip(phrases, (Target.SEGMENTED, Target.ABSENT, Target.SEGMENTED), strict=True))
    blue, green, red = result.targets
    assert [target.probability for target in result.targets] == [0.875, 0.125, 0.875]
    assert blue.has_box and red.has_box and (blue.area, red.area) == (30 * 30, 40 * 40)
    assert blue.box.pose.position.x > red.box.pose.position.x
    # what is absent is nowhere: no mask, no box, no points, no markers, no part of the union
    assert not (green.area or green.mask.data or green.has_box or green.has_grasp or green.point_count)
    assert mask_of(result.mask).sum() == blue.area + red.area
    assert robot.until(lambda: labels(robot) == {"the blue square", "the red square"})
    shown = {marker.id for marker in robot.seen["markers"][-1].markers if marker.action == Marker.ADD}
    assert shown == {0, 2}
    assert robot.until(lambda: robot.seen["points"][-1].width == blue.point_count + red.point_count)
    points = read_cloud(robot.seen["points"][-1])
    assert set(points.targets.tolist()) == {0, 2}
    np.testing.assert_array_equal(np.median(points.of_target(0).colors, axis=0), (30, 30, 220))


def test_what_is_offered_in_the_place_of_an_absent_thing_is_no_target(robot, stamp):
    status, result = robot.goal("", phrases=["the green square"], image_stamp=stamp)
    assert (status, result.status) == (GoalStatus.STATUS_SUCCEEDED, Result.NO_TARGET)
    assert result.message == "not in the image: the green square (perhaps the red square)"
    (green,) = result.targets
    assert (green.kind, green.correction, green.area) == (Target.ABSENT, "the red square", 0)
    roi = green.alternative_roi
    assert (roi.x_offset, roi.y_offset, roi.width, roi.height) == (40, 30, 40, 40)
    assert mask_of(green.alternative_mask).all()
    assert not mask_of(result.mask).any() and not result.has_support
    assert robot.until(lambda: robot.seen["points"][-1].width == 0 and len(robot.seen["markers"][-1].markers) == 1)
    assert robot.seen["markers"][-1].markers[0].action == Marker.DELETEALL


def test_options_hold_for_phrases(robot, stamp):
    left = RegionOfInterest(x_offset=20, y_offset=10, width=70, height=80)
    _, result = robot.goal("", phrases=["red", "blue"], image_stamp=stamp, region=left)
    assert kinds(result) == [("red", Target.SEGMENTED), ("blue", Target.ABSENT)]
    assert (result.mask.width, result.mask.height, result.targets[0].roi.x_offset) == (160, 120, 40)
    _, result = robot.goal("", phrases=["red limit"], image_stamp=stamp, max_new_tokens=7, with_cloud=False)
    assert result.answer == "limit 7" and not result.targets[0].has_box
    assert result.header.stamp.sec * SECOND + result.header.stamp.nanosec == stamp
    _, result = robot.goal("", phrases=["red"], image_stamp=stamp, target_frame="nowhere")
    assert result.status == Result.NO_TRANSFORM and result.targets[0].area == 1600


def test_feedback_counts_no_absent_target_as_a_mask(robot, stamp):
    _, result = robot.goal("the red, the green and the blue one", image_stamp=stamp)
    assert [target.kind for target in result.targets] == [Target.SEGMENTED, Target.ABSENT, Target.SEGMENTED]
    assert robot.until(lambda: any(one.masks == 2 for one in robot.feedback))  # some may be lost beside the result
    assert max(one.masks for one in robot.feedback) == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"phrases": ["red", " "]}, "phrase 2 of 2 is empty"),
        ({"phrases": ["red"] * 65}, "65 phrases in one query, the limit is 64"),
        ({"phrases": ["red" * 400, "red" * 400]}, "characters, the limit is 2000"),
        ({"phrases": ["red"], "query": "blue"}, "query='blue' does not go with phrases"),
        ({"phrases": ["red"], "mode": "mask"}, "mode='mask' does not go with phrases"),
        ({"phrases": ["red"], "conversation_id": "talk"}, "conversation_id='talk' does not go with phrases"),
        ({"phrases": ["red", "refuse"]}, "the model's own token"),
    ],
)
def test_phrases_that_cannot_be_asked_for_are_rejected_with_the_reason(robot, stamp, options, words):
    text = options.get("query", "")
    others = {name: value for name, value in options.items() if name != "query"}
    status, result = robot.goal(text, image_stamp=stamp, **others)
    assert (status, result.status) == (GoalStatus.STATUS_ABORTED, Result.REJECTED)
    assert words in result.message and not result.targets
    if "refuse" not in options["phrases"]:  # the model says that, when its turn comes
        response = robot.submit(text, query_id=f"bad {words}", **others)
        assert not response.accepted and words in response.message


def test_a_submitted_query_of_phrases_has_one_result_with_its_id(robot):
    robot.show()
    response = robot.submit("", query_id="fetch 3", phrases=["red", "green"])
    assert response.accepted and response.query_id == "fetch 3"
    result = robot.result_with("fetch 3")
    assert kinds(result) == [("red", Target.SEGMENTED), ("green", Target.ABSENT)] and result.status == Result.OK
    robot.spin(0.3)
    assert sum(one.query_id == "fetch 3" for one in robot.results) == 1


def test_a_query_of_phrases_is_cancelled_while_it_runs(robot, stamp):
    before = len(robot.results)
    handle = robot.send("", phrases=["red", "sleep 20 blue"], image_stamp=stamp)
    assert handle.accepted
    assert robot.until(lambda: any(one.stage == Segment.Feedback.GENERATING for one in robot.feedback))
    started = time.monotonic()
    robot.wait(handle.cancel_goal_async())
    response = robot.wait(handle.get_result_async())
    assert response.result.result.status == Result.CANCELLED and time.monotonic() - started < 10
    robot.spin(0.3)
    assert len(robot.results) == before + 1


def test_a_query_of_phrases_that_makes_steps_does_not_stall(robot, stamp):
    assert robot.set(model_timeout=1.0) == [(True, "")]
    try:
        _, result = robot.goal("", phrases=["red", "sleep 3 blue"], image_stamp=stamp)
        assert result.status == Result.OK, result.message
    finally:
        assert robot.set(model_timeout=120.0) == [(True, "")]
