"""The real node in its process, over real topics, with the scripted engine in the model's place."""

import time
from itertools import pairwise

import numpy as np
import pytest
from action_msgs.msg import GoalStatus
from lisa_ros.action import Segment
from lisa_ros.msg import SegmentationResult as Result
from node_harness import LATCHED, SECOND, depth_of, picture
from sensor_msgs.msg import Image, PointCloud2

from lisa_ros.client.conversion import read_cloud

pytestmark = pytest.mark.ros
Stage = Segment.Feedback


def mask_of(message):
    return np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)[:, : message.width] == 255


def stamp_of(header):
    return header.stamp.sec * SECOND + header.stamp.nanosec


def points_of(cloud):
    assert isinstance(cloud, PointCloud2)
    return read_cloud(cloud).points


def test_words_on_the_topic_get_one_complete_result(robot):
    stamp = robot.show()
    result = robot.ask_about(stamp, "where are the red and the blue square")
    assert result.status == Result.OK, result.message
    assert stamp_of(result.header) == stamp and result.header.frame_id == "camera"
    assert result.query_id and result.answer.endswith("red blue") and "scripted" in result.model
    red = picture()[..., 0] > 150
    np.testing.assert_array_equal(mask_of(result.mask), red | (picture()[..., 2] > 150))
    target = result.targets[0]
    assert (target.phrase, target.kind, target.area) == ("red", target.SEGMENTED, int(red.sum()))
    assert (target.roi.x_offset, target.roi.y_offset, target.roi.width, target.roi.height) == (40, 30, 40, 40)
    assert {stage.stage for stage in result.stages} >= {"queued", "convert", "encode", "generate", "cloud", "total"}
    assert 0 <= result.image_age.sec < 5 and result.received.sec > 0
    robot.spin(0.3)
    assert len(robot.results_of(result.query)) == 1


def test_the_box_and_the_clouds_are_where_the_object_is(robot):
    assert robot.set(up=[0.0, -1.0, 0.0]) == [(True, "")]  # the plane behind the squares is a wall and no table
    result = robot.ask_about(robot.show(), "the red square")
    assert robot.set(up=[]) == [(True, "")]
    target = result.targets[0]
    # columns 40 to 80 of 160 at f = 150 px and 0.9 m: 24 cm wide, its centre 12 cm left of the axis
    assert target.has_box and target.depth_coverage == pytest.approx(1.0)
    assert target.box.pose.position.z == pytest.approx(0.9, abs=0.01)
    assert target.centroid.x == pytest.approx(-0.12, abs=0.01)
    assert target.extents.x == pytest.approx(0.22, abs=0.03)
    assert robot.until(lambda: robot.seen["points"] and robot.seen["points"][-1].header == result.header)
    points = points_of(robot.seen["points"][-1])
    assert len(points) == target.point_count and np.abs(points[:, 2] - 0.9).max() < 0.01
    assert robot.until(lambda: robot.seen["box"] and robot.seen["box"][-1].header == result.header)
    assert robot.seen["box"][-1].pose == target.box.pose
    assert robot.until(lambda: robot.seen["scene_points"] and robot.seen["scene_points"][-1].header == result.header)
    assert points_of(robot.seen["scene_points"][-1])[:, 2].max() == pytest.approx(1.0, abs=0.01)
    assert robot.until(lambda: robot.seen["markers"] and robot.seen["markers"][-1].markers[0].header == result.header)
    assert {"box", "label"} <= {marker.ns for marker in robot.seen["markers"][-1].markers}


def test_the_newest_answer_empties_what_the_one_before_left(robot):
    robot.show()
    robot.ask("one red thing")
    result = robot.ask_about(robot.show(), "nothing at all")
    assert result.status == Result.NO_TARGET and result.message and not result.targets
    for topic in ("mask", "points"):
        assert robot.until(lambda topic=topic: robot.seen[topic][-1].header == result.header), topic
    assert not mask_of(robot.seen["mask"][-1]).any() and robot.seen["points"][-1].width == 0
    assert robot.until(lambda: len(robot.seen["markers"][-1].markers) == 1)


def test_an_absent_object_is_named_and_has_no_mask(robot):
    robot.show()
    result = robot.ask("the green one and the red one")
    red, green = result.targets
    assert result.status == Result.OK
    assert (green.phrase, green.kind, green.area) == ("green", green.ABSENT, 0) and red.area


def test_a_goal_reports_its_stages_and_ends_with_the_result(robot):
    robot.show()
    status, result = robot.goal("talk 8 about red and blue")
    assert status == GoalStatus.STATUS_SUCCEEDED and result.status == Result.OK, result.message
    # Feedback has a topic of its own: on a busy machine its last messages come after the result.
    assert robot.until(lambda: robot.feedback and robot.feedback[-1].stage == Stage.CLOUD)
    stages = list(dict.fromkeys(feedback.stage for feedback in robot.feedback))
    assert stages == [Stage.QUEUED, Stage.ENCODING, Stage.GENERATING, Stage.MASK, Stage.CLOUD]
    assert [feedback.masks for feedback in robot.feedback if feedback.stage == Stage.MASK] == [1, 2]
    texts = [feedback.text.strip() for feedback in robot.feedback]
    assert texts[-1] == result.answer and all(later.startswith(earlier) for earlier, later in pairwise(texts))
    assert robot.until(lambda: robot.results_of(result.query)), "goals are published as well"
    assert robot.results_of(result.query)[0].query_id == result.query_id


def test_a_goal_without_cloud_has_masks_only(robot):
    robot.show()
    _, result = robot.goal("the red one flat", with_cloud=False)
    assert result.status == Result.OK and result.targets[0].area and not result.targets[0].has_box
    assert "cloud" not in {stage.stage for stage in result.stages}


def test_a_goal_picks_its_image_by_stamp(robot):
    first = robot.show()
    robot.spin(0.1)
    second_image = np.ascontiguousarray(picture()[:, ::-1])
    second = robot.show(second_image, np.ascontiguousarray(depth_of(picture())[:, ::-1]))
    robot.ask_about(second, "red at once")
    _, old = robot.goal("red of old", image_stamp=first)
    assert stamp_of(old.header) == first and old.targets[0].roi.x_offset == 40
    _, new = robot.goal("red of new")
    assert stamp_of(new.header) == second and new.targets[0].roi.x_offset == 80
    _, near = robot.goal("red nearby", image_stamp=first + 5_000_000)
    assert stamp_of(near.header) == first
    status, none = robot.goal("red of yesterday", image_stamp=first - 86400 * SECOND)
    assert status == GoalStatus.STATUS_ABORTED and none.status == Result.NO_IMAGE
    assert "buffer holds" in none.message


def test_questions_about_one_image_share_its_features(robot):
    stamp = robot.show()
    answers = [robot.ask_about(stamp, f"red {n}") for n in range(2)]
    frames = {answer.answer.split(":")[0] for answer in answers}
    assert len(frames) == 1
    assert robot.ask_about(robot.show(), "red anew").answer.split(":")[0] not in frames


def test_a_running_goal_is_cancelled_between_tokens(robot):
    robot.show()
    handle = robot.send("sleep 20 red")
    assert robot.until(lambda: any(feedback.stage == Stage.GENERATING for feedback in robot.feedback))
    started = time.monotonic()
    robot.wait(handle.cancel_goal_async())
    response = robot.wait(handle.get_result_async())
    assert time.monotonic() - started < 3
    assert response.status == GoalStatus.STATUS_CANCELED
    assert response.result.result.status == Result.CANCELLED
    robot.show()
    assert robot.ask("red after cancelling").status == Result.OK


def test_a_waiting_goal_is_cancelled_without_ever_running(robot):
    robot.show()
    running, waiting = robot.send("sleep 1.5 red"), robot.send("sleep 20 blue")
    robot.wait(waiting.cancel_goal_async())
    response = robot.wait(waiting.get_result_async())
    assert response.status == GoalStatus.STATUS_CANCELED
    assert robot.wait(running.get_result_async()).result.result.status == Result.OK


def test_newer_words_supersede_running_and_waiting_ones(robot):
    robot.stream()
    robot.say("sleep 20 first")
    robot.spin(0.5)
    for text in ("second red", "third red"):
        robot.say(text)
    assert robot.until(lambda: robot.results_of("third red"))
    first, third = robot.results_of("sleep 20 first")[0], robot.results_of("third red")[0]
    assert first.status == Result.CANCELLED and "superseded" in first.message
    assert third.status == Result.OK
    assert robot.until(lambda: robot.results_of("second red"))
    assert robot.results_of("second red")[0].status in (Result.CANCELLED, Result.OK)
    robot.spin(0.3)
    assert [len(robot.results_of(text)) for text in ("sleep 20 first", "second red", "third red")] == [1, 1, 1]


def test_a_full_queue_rejects_goals_and_says_so(robot):
    assert robot.set(queue_size=2) == [(True, "")]
    robot.stream()
    running = robot.send("sleep 20 full")
    assert robot.until(lambda: any(feedback.stage == Stage.GENERATING for feedback in robot.feedback))
    waiting = [robot.send(f"red waiting {n}") for n in range(2)]
    assert all(handle.accepted for handle in waiting)
    rejected = robot.send("red rejected")
    assert not rejected.accepted
    assert robot.until(lambda: robot.results_of("red rejected"))
    result = robot.results_of("red rejected")[0]
    assert result.status == Result.REJECTED and "queue_size is 2" in result.message
    robot.wait(running.cancel_goal_async())
    for handle in waiting:
        assert robot.wait(handle.get_result_async()).result.result.status == Result.OK
    robot.set(queue_size=8)


def test_two_hundred_queries_at_once_get_two_hundred_results(robot):
    robot.stream()
    texts = [f"red number {n}" for n in range(200)]
    for text in texts:
        robot.say(text)
    assert robot.until(lambda: all(robot.results_of(text) for text in texts), 30)
    robot.spin(0.3)
    results = [robot.results_of(text) for text in texts]
    assert all(len(each) == 1 for each in results)
    assert results[-1][0].status == Result.OK
    assert {each[0].status for each in results} <= {Result.OK, Result.CANCELLED}


@pytest.mark.parametrize(
    ("text", "status", "words"),
    [
        ("", Result.REJECTED, "empty"),
        ("   ", Result.REJECTED, "empty"),
        ("x" * 3000, Result.REJECTED, "3000"),
        ("refuse this", Result.REJECTED, "[SEG]"),
        ("oom now", Result.OUT_OF_MEMORY, "9.0 GB"),
        ("crash now", Result.MODEL_ERROR, "scripted crash"),
    ],
)
def test_a_query_that_fails_is_told_why_and_the_node_lives_on(robot, node_log, text, status, words):
    robot.show()
    result = robot.ask(text)
    assert result.status == status and words in result.message, result.message
    if status == Result.MODEL_ERROR:
        assert "Traceback" in node_log() and "scripted_engine.py" in node_log()
    action_status, result = robot.goal(text)
    assert action_status == GoalStatus.STATUS_ABORTED and result.status == status
    assert robot.ask("red still works").status == Result.OK


def test_the_cancel_service_ends_all(robot):
    robot.stream()
    handles = [robot.send("sleep 20 a"), robot.send("sleep 20 b")]
    answer = robot.trigger("cancel")
    assert answer.success and "2" in answer.message
    for handle in handles:
        response = robot.wait(handle.get_result_async())
        assert response.status == GoalStatus.STATUS_ABORTED
        assert response.result.result.status == Result.CANCELLED
    assert not robot.trigger("cancel").success


def test_a_conversation_stays_with_its_image_until_it_is_forgotten(robot):
    first = robot.show()
    robot.ask_about(first, "red before")
    _, one = robot.goal("red please", conversation_id="talk")
    robot.ask_about(robot.show(), "red in between")
    _, two = robot.goal("and the blue one", conversation_id="talk")
    assert one.answer.startswith("turn 1") and two.answer.startswith("turn 2")
    assert stamp_of(one.header) == stamp_of(two.header) == first and two.targets[0].has_box
    _, refused = robot.goal("red elsewhere", conversation_id="talk", image_stamp=first + SECOND)
    assert refused.status == Result.REJECTED and "conversation" in refused.message
    assert "1 conversations" in robot.trigger("forget").message
    newest = robot.show()
    robot.ask_about(newest, "red at the end")
    _, three = robot.goal("red again", conversation_id="talk")
    assert three.answer.startswith("turn 1") and stamp_of(three.header) == newest


def test_a_question_of_a_conversation_may_wait_longer_than_for_an_image(robot):
    assert robot.set(image_timeout=0.5) == [(True, "")]
    robot.ask_about(robot.show(), "red before")
    robot.goal("red to begin with", conversation_id="patient")
    slow = robot.send("sleep 1.5 and red")
    _, waited = robot.goal("and the blue one", conversation_id="patient")
    robot.wait(slow.get_result_async())
    robot.set(image_timeout=2.0)
    robot.trigger("forget")
    assert waited.status == Result.OK, waited.message


def test_a_conversation_takes_the_stamp_that_it_began_with_again_and_no_other(robot):
    robot.set(image_timeout=10.0)
    stamp = robot.stamp() + SECOND // 2
    near = stamp + SECOND // 100  # within sync_tolerance
    first = robot.send("red", conversation_id="stamped", image_stamp=near)
    elsewhere = robot.send("red elsewhere", conversation_id="stamped", image_stamp=stamp + 2 * SECOND)
    while stamp > robot.stamp():
        robot.spin(0.05)
    robot.stream(stamp=stamp)
    first, elsewhere = (robot.wait(sent.get_result_async()).result.result for sent in (first, elsewhere))
    robot.stop_stream()
    again = robot.goal("blue", conversation_id="stamped", image_stamp=near)[1]
    robot.set(image_timeout=2.0)
    robot.trigger("forget")
    assert first.status == again.status == Result.OK, again.message
    assert stamp_of(first.header) == stamp_of(again.header) == stamp
    assert elsewhere.status == Result.REJECTED and "another conversation_id" in elsewhere.message


def test_mask_mode_answers_without_words(robot):
    assert robot.set(mode="mask") == [(True, "")]
    robot.show()
    result = robot.ask("the red and the blue")
    assert result.status == Result.OK and result.answer == "" and len(result.targets) == 1
    robot.set(mode="chat")


def test_the_standing_query_is_asked_about_newest_images_and_gives_way(robot):
    robot.stream()
    assert robot.set(standing_query="always red") == [(True, "")]
    assert robot.until(lambda: len(robot.results_of("always red")) > 3)
    assert robot.ask("blue in between").status == Result.OK
    robot.set(standing_query="")
    robot.spin(0.5)
    results = robot.results_of("always red")
    robot.spin(0.5)
    assert len(robot.results_of("always red")) == len(results)
    stamps = [stamp_of(result.header) for result in results if result.status == Result.OK]
    assert len(set(stamps)) == len(stamps)


def test_the_standing_query_takes_no_place_in_the_queue_and_is_refused_each_time_it_is_set(robot):
    robot.stream()
    assert robot.set(queue_size=0, standing_query="red for ever, sleep 0.5") == [(True, "")] * 2
    assert robot.until(lambda: robot.results_of("red for ever, sleep 0.5"))
    assert [robot.goal(f"blue {number}")[1].status for number in range(3)] == [Result.OK] * 3
    robot.set(queue_size=8, standing_query="")
    for count in (1, 2):
        robot.set(standing_query="refuse")
        assert robot.until(lambda count=count: len(robot.results_of("refuse")) == count)
        robot.set(standing_query="")
        robot.spin(0.3)  # an image without it
    robot.stop_stream()


def test_the_overlay_is_there_for_those_who_look(robot):
    seen = []
    subscription = robot.create_subscription(Image, "overlay", seen.append, LATCHED)
    assert robot.until(lambda: robot.count_publishers("overlay") > 0)
    robot.stream()
    assert robot.until(lambda: robot.ask("red overlay") and seen)
    robot.destroy_subscription(subscription)
    assert (seen[-1].height, seen[-1].width, seen[-1].encoding) == (120, 160, "rgb8")


def test_depth_that_is_missing_or_useless_leaves_the_masks(robot):
    robot.spin(0.4)  # a complete image that is hardly older would be preferred
    missing = robot.ask_about(robot.show(with_depth=False), "red without depth")
    assert missing.status == Result.NO_DEPTH and missing.targets[0].area and "sync_tolerance" in missing.message
    empty = robot.ask_about(robot.show(depth=np.zeros((120, 160), np.uint16)), "red in the dark")
    assert empty.status == Result.NO_DEPTH and "no valid pixel" in empty.message
    status, result = robot.goal("red as a goal", image_stamp=stamp_of(empty.header))
    assert status == GoalStatus.STATUS_SUCCEEDED and result.status == Result.NO_DEPTH


def test_a_target_frame_without_tf_is_no_transform_and_a_fixed_pose_gives_one(robot):
    robot.show()
    assert robot.set(target_frame="table") == [(True, "")]
    result = robot.ask("red on the table")
    assert result.status == Result.NO_TRANSFORM and result.targets[0].area and "camera_pose" in result.message
    # the camera looks straight down from 2 m above the table's origin
    assert robot.set(camera_pose=[0.0, 0.0, 2.0, 1.0, 0.0, 0.0, 0.0]) == [(True, "")]
    result = robot.ask_about(robot.show(), "red on the table now")
    assert result.status == Result.OK, result.message
    assert result.header.frame_id == "camera" and result.targets[0].box.header.frame_id == "table"
    assert result.targets[0].box.header.stamp == result.header.stamp
    assert result.targets[0].centroid.z == pytest.approx(1.1, abs=0.01)
    assert robot.until(lambda: robot.seen["points"][-1].header == result.targets[0].box.header)
    assert robot.set(target_frame="") == [(True, "")]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("mode", "loud", "chat, mask"),
        ("max_new_tokens", 0, "range"),
        ("image_timeout", -1.0, "range"),
        ("queue_size", "many", "type"),
        ("image_transport", "compressed", "read-only"),
        ("camera_pose", [1.0], "seven"),
        ("cloud.voxel_size", 9.0, "voxel_size"),
        ("model", "another", "clean the node up"),
    ],
)
def test_a_bad_parameter_is_refused_with_a_reason(robot, name, value, words):
    before = robot.get(name)
    [(successful, reason)] = robot.set(**{name: value})
    assert not successful and words in reason, reason
    assert robot.get(name) == before


def test_diagnostics_tell_the_state_of_things(robot):
    robot.stream(rate=20)
    robot.ask("red for the record")
    robot.spin(1.5)
    values = robot.diagnostics()
    assert values["state"] == "active" and values["level"] == b"\x00", values["message"]
    assert 5 < float(values["image rate (Hz)"]) < 30 and float(values["image age (s)"]) < 2
    assert int(values["queries ok"]) > 0 and float(values["stage total p95 (s)"]) > 0
    assert values["precision"] == "fp32" and "memory device" in values


@pytest.mark.alone
def test_parameters_answer_at_once_while_a_query_runs(robot):
    robot.stream(rate=30)
    robot.get("model")
    handle = robot.send("sleep 3 red")
    assert robot.until(lambda: any(feedback.stage == Stage.GENERATING for feedback in robot.feedback))
    times = []
    for _ in range(10):
        started = time.perf_counter()
        robot.get("model")
        times.append(time.perf_counter() - started)
    assert sorted(times)[len(times) // 2] < 0.2, times
    assert robot.wait(handle.get_result_async()).result.result.status == Result.OK
