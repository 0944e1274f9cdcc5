"""Following by the real node: ids, feedback of a followed goal, what ends it, and what a camera can do to it."""

import cv2
import numpy as np
import pytest
from action_msgs.msg import GoalStatus
from lisa_ros.action import Segment
from lisa_ros.msg import SegmentationResult as Result
from lisa_ros.msg import SegmentationTarget
from node_harness import SECOND, picture

pytestmark = pytest.mark.ros
FOLLOWING = Segment.Feedback.FOLLOWING


def stamp_of(time):
    return time.sec * SECOND + time.nanosec


def followed(robot):
    """Results of single frames that came as feedback."""
    return [feedback.result for feedback in robot.feedback if feedback.stage == FOLLOWING]


def kinds_of(result):
    return {target.id: target.kind for target in result.targets if target.id}


def without_red(image):
    """The picture after the red square was taken away."""
    image = image.copy()
    image[30:70, 40:80] = 90
    return image


def textured(image):
    """With a grain, as every camera's picture has something to follow."""
    grain = cv2.GaussianBlur(np.random.default_rng(0).normal(0, 60, image.shape[:2]), (0, 0), 1.5)
    return np.clip(image + np.clip(grain, -30, 30)[..., None], 0, 255).astype(np.uint8)


def seen(robot):
    """Until a frame shows a target; returns {id: kind} of the last one."""
    segmented = SegmentationTarget.SEGMENTED
    assert robot.until(lambda: followed(robot) and segmented in kinds_of(followed(robot)[-1]).values())
    return kinds_of(followed(robot)[-1])


@pytest.fixture
def moving(robot):
    """The camera streams a picture that moves to the right by a pixel with each image."""
    shift, wide = [0], textured(picture())

    def image():
        shift[0] = min(30, shift[0] + 1)
        return np.roll(wide, shift[0], axis=1)

    robot.stream(image=image)
    robot.spin(0.5)  # the last image of the test before is not the newest any more
    return robot


@pytest.fixture
def goal(robot):
    """goal(text, **options) -> handle of a followed goal, cancelled at the end of the test."""
    handles = []

    def send(text, **options):
        handle = robot.send(text, follow=True, **options)
        assert handle.accepted
        handles.append(handle)
        return handle

    yield send
    for handle in handles:
        robot.wait(handle.cancel_goal_async())
    robot.spin(0.2)


def outcome(robot, handle, timeout=20.0):
    response = robot.wait(handle.get_result_async(), timeout)
    return response.status, response.result.result


def test_a_followed_goal_reports_every_frame_with_the_same_ids_and_asks_the_model_now_and_then(moving, goal):
    robot = moving
    assert robot.set(follow_interval=0.5) == [(True, "")]
    handle = goal("red and blue")
    seen(robot)
    robot.feedback.clear()
    assert robot.until(lambda: len(followed(robot)) > 12)
    results = followed(robot)
    ids = [tuple(target.id for target in result.targets) for result in results]
    assert set(ids) == {ids[0]} and len(set(ids[0])) == 2 and 0 not in ids[0]
    stamps = [stamp_of(result.header.stamp) for result in results]
    answered = {stamp_of(result.answer_stamp) for result in results}
    assert stamps == sorted(set(stamps)) and 1 < len(answered) < len(stamps)
    for result in results:
        assert result.status == Result.OK and result.query == "red and blue"
        assert all(target.has_box and target.area > 700 for target in result.targets)
        asked = result.answer_stamp == result.header.stamp
        assert ("follow" in {stage.stage for stage in result.stages}) != asked
    # The same on the topics, and markers carry the ids.
    assert robot.until(lambda: robot.results_of("red and blue"))
    last = robot.seen["markers"][-1]
    assert {marker.id for marker in last.markers if marker.ns == "box"} == set(ids[0])
    assert any(marker.text.startswith(f"red #{ids[0][0]}") for marker in last.markers)
    robot.wait(handle.cancel_goal_async())
    status, result = outcome(robot, handle)
    assert (status, result.status) == (GoalStatus.STATUS_CANCELED, Result.CANCELLED)
    robot.spin(0.3)
    count = len(followed(robot))
    robot.spin(0.5)
    assert len(followed(robot)) == count
    robot.set(follow_interval=1.0)


def test_masks_of_followed_frames_lie_on_the_moving_things(moving, goal):
    robot = moving
    robot.set(follow_interval=60.0)
    goal("red")
    assert robot.until(lambda: len(followed(robot)) > 14)
    results = followed(robot)
    assert len({stamp_of(result.answer_stamp) for result in results}) == 1
    lefts = [result.targets[0].roi.x_offset for result in results]
    assert min(np.diff(lefts)) >= -1 and lefts[-1] >= lefts[0] + 8
    assert all(abs(result.targets[0].roi.width - 40) <= 6 for result in results)
    robot.set(follow_interval=1.0)


def test_a_target_that_is_taken_away_is_lost_and_found_again_under_its_id(robot, goal):
    shown = [picture()]
    robot.stream(image=lambda: shown[0])
    robot.set(follow_interval=0.4)
    goal("red and blue")
    red, blue = seen(robot)
    shown[0] = without_red(picture())
    lost = {red: SegmentationTarget.LOST, blue: SegmentationTarget.SEGMENTED}
    assert robot.until(lambda: kinds_of(followed(robot)[-1]) == lost)
    (gone,) = (target for target in followed(robot)[-1].targets if target.id == red)
    assert gone.area == 0 and not gone.has_box and gone.phrase == "red"
    shown[0] = picture()
    found = dict.fromkeys((red, blue), SegmentationTarget.SEGMENTED)
    assert robot.until(lambda: kinds_of(followed(robot)[-1]) == found)
    robot.set(follow_interval=1.0)


def test_when_all_is_lost_the_result_says_so(robot, goal):
    shown = [picture()]
    robot.stream(image=lambda: shown[0])
    goal("red")
    seen(robot)
    shown[0] = without_red(picture())
    assert robot.until(lambda: followed(robot)[-1].status == Result.NO_TARGET)
    assert "not seen any more: red" in followed(robot)[-1].message


def test_a_followed_goal_gives_way_to_queries_and_goes_on(moving, goal):
    robot = moving
    goal("red")
    (number,) = seen(robot)
    assert robot.ask("blue in between").status == Result.OK
    assert robot.goal("blue as a goal")[1].status == Result.OK
    count = len(followed(robot))
    assert robot.until(lambda: len(followed(robot)) > count + 2)
    assert set(kinds_of(followed(robot)[-1])) == {number}
    assert robot.results_of("blue in between")[0].targets[0].id == 0


def test_a_newer_followed_goal_supersedes_the_older_one(moving, goal):
    robot = moving
    older = goal("red")
    (number,) = seen(robot)
    goal("blue")
    status, result = outcome(robot, older)
    assert (status, result.status) == (GoalStatus.STATUS_ABORTED, Result.CANCELLED) and "superseded" in result.message
    assert robot.until(lambda: followed(robot)[-1].query == "blue")
    assert number not in kinds_of(followed(robot)[-1])


def test_a_camera_that_stops_ends_a_followed_goal(moving, goal):
    robot = moving
    assert robot.set(image_timeout=0.5) == [(True, "")]
    handle = goal("red")
    assert robot.until(lambda: followed(robot))
    robot.stop_stream()
    status, result = outcome(robot, handle)
    assert (status, result.status) == (GoalStatus.STATUS_ABORTED, Result.NO_IMAGE)
    assert "the camera stopped" in result.message and "image_timeout is 0.5 s" in result.message
    robot.set(image_timeout=2.0)


def test_a_camera_that_changes_its_size_is_followed_on(robot, goal):
    shown = [picture()]
    robot.stream(image=lambda: shown[0])
    robot.set(follow_interval=60.0)
    goal("red")
    (number,) = seen(robot)
    shown[0] = picture(240, 320)
    assert robot.until(lambda: followed(robot)[-1].mask.height == 240)
    assert kinds_of(followed(robot)[-1]) == {number: SegmentationTarget.SEGMENTED}
    robot.set(follow_interval=1.0)


def test_a_model_that_fails_ends_a_followed_goal_and_the_service_cancels_one(moving, goal):
    robot = moving
    assert outcome(robot, goal("crash"))[1].status == Result.MODEL_ERROR
    assert outcome(robot, goal("refuse"))[1].status == Result.REJECTED
    handle = goal("red")
    assert robot.until(lambda: followed(robot))
    assert robot.trigger("cancel").success
    assert outcome(robot, handle)[1].status == Result.CANCELLED


def test_what_cannot_be_followed_is_rejected(robot, goal):
    for options in ({"conversation_id": "c"}, {"image_stamp": SECOND}):
        result = outcome(robot, goal("red", **options))[1]
        assert result.status == Result.REJECTED and "follow is about every newest image" in result.message


def test_the_standing_query_is_followed_where_the_parameter_says_so(moving):
    robot = moving
    assert robot.set(follow=True, follow_interval=60.0, standing_query="always red") == [(True, "")] * 3
    assert robot.until(lambda: sum(r.status == Result.OK for r in robot.results_of("always red")) > 6)
    robot.set(standing_query="", follow=False, follow_interval=1.0)
    robot.spin(0.3)
    results = [result for result in robot.results_of("always red") if result.status == Result.OK]
    assert len({stamp_of(result.answer_stamp) for result in results}) == 1
    assert len({target.id for result in results for target in result.targets}) == 1


def test_a_node_that_is_deactivated_ends_a_followed_goal_and_uses_no_id_twice(moving, goal):
    robot = moving
    handle = goal("red")
    (number,) = seen(robot)
    assert robot.transition("deactivate")
    status, result = outcome(robot, handle)
    assert (status, result.status) == (GoalStatus.STATUS_ABORTED, Result.CANCELLED)
    assert robot.transition("activate")
    robot.feedback.clear()
    goal("red")
    (newer,) = seen(robot)
    assert newer > number
