"""Queries that are too long, too many, cancelled or fatal: each gets exactly one result, and its reason."""

import numpy as np
import pytest
from action_msgs.msg import GoalStatus
from action_msgs.srv import CancelGoal
from fault_robot import raw_string
from faulty_engine import ENCODE_CRASHES, ENCODE_OUT_OF_MEMORY, ENCODE_SLOWLY
from lisa_ros.action import Segment
from lisa_ros.msg import SegmentationResult as Result
from node_harness import SECOND, picture

pytestmark = pytest.mark.ros
Stage = Segment.Feedback


def marked(order):
    image = picture()
    image[0, 0] = order
    return image


# -- words


def test_a_query_of_a_megabyte_is_refused_by_its_length(robot, node):
    text = "red " * 250_000
    robot.stream()
    result = robot.ask(text)
    assert result.status == Result.REJECTED and "1000000 characters" in result.message
    status, result = robot.outcome(robot.send(text))
    assert status == GoalStatus.STATUS_ABORTED and result.status == Result.REJECTED
    assert max(map(len, node.log.splitlines())) < 2000, "the log holds an excerpt"


@pytest.mark.parametrize("text", ["", " ", "\n\t \u2003", "\u00a0"])
def test_an_empty_query_is_refused(robot, text):
    result = robot.ask(text)
    assert result.status == Result.REJECTED and "empty" in result.message


@pytest.mark.parametrize(
    "text",
    [
        "rotes Würfelchen, bitte: red",
        "红色的方块 red",
        "أين المربع الأحمر؟ red",
        "\u202egnihtemos \u202c red",
        "🟥👩🏽‍🚀 red",
        "red\u0301 Zalgo r̴̡̛e̵̢̛d̷̰̈",
        "'; DROP TABLE targets; -- red {text} %s %n ${HOME} \\x00",
    ],
)
def test_words_of_any_script_come_back_as_they_went(robot, text):
    result = robot.ask_about(text)
    assert result.status == Result.OK and result.query == text


def test_words_cannot_forge_lines_of_the_log(robot, node):
    robot.stream()
    robot.ask("red\n[ERROR] [1.0] [forged]: the robot is on fire\x1b[31m")
    assert robot.until(lambda: "the robot is on fire" in node.log)
    assert not any(line.startswith("[ERROR] [1.0]") for line in node.log.splitlines())
    assert "\x1b[31m" not in node.log


def test_bytes_that_are_no_utf8_get_a_result(robot):
    robot.stream()
    before = len(robot.results)
    robot.words.publish(raw_string(b"\xff\xfe\xc3 red bytes"))
    assert robot.until(lambda: any("red bytes" in result.query for result in robot.results[before:]))


def test_messages_that_are_no_messages_are_skipped(robot, node):
    robot.words.publish(b"\x00\x01\x00\x00\xff\xff\xff\x7fred")  # a text of two gigabytes, it says
    robot.words.publish(b"\x00\x01\x00\x00")
    robot.images.publish(b"\x00\x01\x00\x00" + b"\xff" * 64)
    robot.infos.publish(b"\x00\x01\x00\x00" + b"\xff" * 64)
    robot.plain()


# -- many


def test_two_hundred_queries_at_once_get_two_hundred_results(robot):
    robot.stream()
    texts = [f"red of {n}" for n in range(200)]
    for text in texts:
        robot.say(text)
    assert robot.until(lambda: not robot.owed(), 60), robot.owed()[:5]
    assert set(robot.counts(texts).values()) == {1}
    assert robot.results_of(texts[-1])[0].status == Result.OK, "the newest words win"


def test_two_hundred_goals_at_once_are_each_rejected_or_answered(robot):
    robot.stream()
    texts = [f"red goal {n}" for n in range(200)]
    handles = dict(zip(texts, robot.send_many(texts), strict=True))
    accepted = {text: robot.outcome(handle)[1] for text, handle in handles.items() if handle.accepted}
    assert len(accepted) >= 9, "queue_size waiting ones and the one that runs"
    assert {result.status for result in accepted.values()} == {Result.OK}
    assert robot.until(lambda: not robot.owed()), robot.owed()[:5]
    for text in texts:
        [result] = robot.results_of(text)
        assert text in accepted or (result.status == Result.REJECTED and "queue_size" in result.message)
    robot.diagnosed("queries last rejection", lambda reason: "queue_size" in reason)


def test_topic_and_goals_mixed_with_bad_ones_get_one_result_each(robot):
    robot.stream()
    said = [f"{word} said {n}" for n in range(15) for word in ("red", "oom", "crash", "sleep 0.05 blue")]
    handles = []
    for n, text in enumerate(said):
        robot.say(text)
        if n % 6 == 0:
            handles += robot.send_many([f"{text} goal"])
    results = [robot.outcome(handle)[1] for handle in handles if handle.accepted]
    assert {result.status for result in results} <= {Result.OK, Result.OUT_OF_MEMORY, Result.MODEL_ERROR}
    assert robot.until(lambda: not robot.owed(), 60), robot.owed()[:5]


# -- cancel


def cancel_and_check(robot, handle):
    robot.wait(handle.cancel_goal_async())
    status, result = robot.outcome(handle)
    assert status == GoalStatus.STATUS_CANCELED and result.status == Result.CANCELLED, result.message


def test_cancel_while_the_image_is_awaited(robot):
    assert robot.set(image_timeout=30.0) == [(True, "")]
    handle = robot.send("red of tomorrow", image_stamp=robot.stamp() + 100 * SECOND)
    robot.stage_seen(Stage.QUEUED)
    cancel_and_check(robot, handle)
    assert robot.set(image_timeout=1.0) == [(True, "")]


def test_cancel_while_another_query_runs(robot):
    robot.stream()
    first = robot.send("sleep 20 red, first")
    robot.stage_seen(Stage.GENERATING)
    cancel_and_check(robot, robot.send("red, second"))
    cancel_and_check(robot, first)


def test_cancel_while_encoding(robot):
    slow, stamp = marked(ENCODE_SLOWLY), robot.fresh_stamp()
    robot.repeat(lambda: robot.moment(slow, stamp=stamp))
    handle = robot.send("red, encoding", image_stamp=stamp)
    robot.stage_seen(Stage.ENCODING)
    cancel_and_check(robot, handle)
    assert not any(feedback.stage == Stage.GENERATING for feedback in robot.feedback)


def test_cancel_while_generating(robot):
    robot.stream()
    handle = robot.send("talk 1000 red")
    assert robot.until(lambda: any("word3" in feedback.text for feedback in robot.feedback))
    cancel_and_check(robot, handle)


def test_cancel_after_the_mask(robot):
    robot.stream()
    handle = robot.send("linger 20 red")
    robot.stage_seen(Stage.MASK)
    cancel_and_check(robot, handle)


def test_cancel_while_the_cloud_is_made(robot):
    assert robot.set(**{"cloud.voxel_size": 0.0}) == [(True, "")]  # slow: every point is kept
    wall = np.full((960, 1280), 1000, np.uint16)
    corner = np.zeros((960, 1280, 3), np.uint8)
    robot.repeat(lambda: robot.moment(corner, wall), rate=3)
    handle = robot.send("the corner as a cloud")
    robot.stage_seen(Stage.CLOUD)
    robot.wait(handle.cancel_goal_async())
    status, result = robot.outcome(handle)
    # a quick machine may have been done before it heard
    assert (status, result.status) in [
        (GoalStatus.STATUS_CANCELED, Result.CANCELLED),
        (GoalStatus.STATUS_SUCCEEDED, Result.OK),
    ]
    assert robot.set(**{"cloud.voxel_size": 0.002}) == [(True, "")]


def test_cancelling_a_model_that_does_not_listen_ends_the_query_at_once(robot):
    robot.stream()
    deaf = robot.send("block 3 red")
    robot.stage_seen(Stage.GENERATING)
    before = robot.get_clock().now()
    cancel_and_check(robot, deaf)
    assert (robot.get_clock().now() - before).nanoseconds < 2.5e9


def test_a_model_that_does_not_come_back_is_reported_and_nobody_waits_for_it(robot):
    assert robot.set(model_timeout=1.0) == [(True, "")]
    robot.stream()
    deaf = robot.send("block 8 red")
    robot.stage_seen(Stage.GENERATING)
    waiting = robot.send("red, waiting")
    for handle in (deaf, waiting):
        status, result = robot.outcome(handle)
        assert (status, result.status) == (GoalStatus.STATUS_ABORTED, Result.MODEL_ERROR)
        assert "no sign of life" in result.message and "model_timeout is 1 s" in result.message
    assert robot.ask("red, while it is stuck").status == Result.MODEL_ERROR
    assert robot.until(lambda: "no sign of life" in robot.seen["diagnostics"][-1].message)
    came_back = robot.until(lambda: "no sign of life" not in robot.seen["diagnostics"][-1].message)
    assert came_back, robot.seen["diagnostics"][-1].message
    assert robot.ask("red, afterwards").status == Result.OK
    assert robot.set(model_timeout=120.0) == [(True, "")]


def test_a_model_that_speaks_slowly_is_not_stuck(robot):
    assert robot.set(model_timeout=1.0) == [(True, "")]
    robot.stream()
    assert robot.ask("talk 100 red").status == Result.OK  # 2 s, a word each 0.02 s
    assert robot.set(model_timeout=120.0) == [(True, "")]


def test_all_goals_cancelled_by_one_request(robot):
    robot.stream()
    handles = robot.send_many([f"sleep 20 red {n}" for n in range(8)])
    answer = robot.call(CancelGoal, "segment/_action/cancel_goal", CancelGoal.Request())  # zeros: all of them
    accepted = [handle for handle in handles if handle.accepted]
    assert len(accepted) == 8 and len(answer.goals_canceling) == 8
    for handle in accepted:
        status, result = robot.outcome(handle)
        assert (status, result.status) == (GoalStatus.STATUS_CANCELED, Result.CANCELLED)


def test_cancelling_twice_and_after_the_end_changes_nothing(robot):
    robot.stream()
    handle = robot.send("sleep 20 red, twice")
    futures = [handle.cancel_goal_async() for _ in range(5)]
    for future in futures:
        robot.wait(future)
    assert robot.outcome(handle)[1].status == Result.CANCELLED
    done = robot.send("red, done")
    assert robot.outcome(done)[1].status == Result.OK
    robot.wait(done.cancel_goal_async())
    assert robot.outcome(done)[0] == GoalStatus.STATUS_SUCCEEDED


# -- images that are not there


def test_an_image_of_the_future_is_waited_for_and_then_given_up(robot):
    robot.stream()
    result = robot.outcome(robot.send("red in an hour", image_stamp=robot.stamp() + 3600 * SECOND))[1]
    assert result.status == Result.NO_IMAGE and "the buffer holds" in result.message


@pytest.mark.parametrize("stamp", [1, SECOND, -5 * SECOND])
def test_an_image_older_than_the_buffer_is_no_image(robot, stamp):
    robot.stream()
    robot.diagnosed("image age (s)", lambda age: age != "none" and float(age) < 1)
    result = robot.outcome(robot.send(f"red at {stamp}", image_stamp=stamp))[1]
    assert result.status == Result.NO_IMAGE and "the buffer holds" in result.message


# -- the model


@pytest.mark.parametrize(
    ("text", "status", "words"),
    [
        ("oom", Result.OUT_OF_MEMORY, "9.0 GB"),
        ("memoryerror", Result.OUT_OF_MEMORY, "memory"),
        ("crash", Result.MODEL_ERROR, "scripted crash"),
        ("exit", Result.MODEL_ERROR, "3"),
    ],
)
@pytest.mark.parametrize("conversation", ["", "dialogue"])
def test_a_model_that_fails_takes_only_its_query_along(robot, text, status, words, conversation):
    robot.stream()
    query = f"{text} now {conversation}"
    handle = robot.send(query, conversation_id=conversation)
    action_status, result = robot.outcome(handle)
    assert action_status == GoalStatus.STATUS_ABORTED
    assert result.status == status and words in result.message.lower().replace("gb", "GB"), result.message
    again = robot.send(f"red afterwards, {status} {conversation}", conversation_id=conversation)
    assert robot.outcome(again)[1].status == Result.OK


@pytest.mark.parametrize(
    ("order", "status", "words"),
    [
        (ENCODE_CRASHES, Result.MODEL_ERROR, "vision tower"),
        (ENCODE_OUT_OF_MEMORY, Result.OUT_OF_MEMORY, "smaller image"),
    ],
)
def test_an_encoder_that_fails_takes_only_its_query_along(robot, order, status, words):
    result = robot.ask_about(f"red of an image that fails with {status}", marked(order))
    assert result.status == status and words in result.message


def test_a_standing_query_that_fails_does_not_flood_the_log(robot, node):
    before = len(node.log.splitlines())
    robot.stream(rate=30)
    assert robot.set(standing_query="crash always") == [(True, "")]
    assert robot.until(lambda: len(robot.results_of("crash always")) > 30)
    assert robot.set(standing_query="") == [(True, "")]
    written = "\n".join(node.log.splitlines()[before:])
    assert written.count("Traceback") <= 3 and "Traceback" in node.log


# -- parameters while a query runs


def test_parameters_change_while_a_query_runs_and_it_keeps_its_own(robot):
    robot.stream()
    handle = robot.send("sleep 0.7 red, steadfast", with_cloud=True)
    robot.stage_seen(Stage.GENERATING)
    changes = [("mode", "mask", "chat"), ("target_frame", "nowhere", ""), ("queue_size", 0, 8)]
    changes += [("sync_tolerance", 0.0, 0.02), ("max_new_tokens", 1, 512), ("cloud.min_points", 1000000, 10)]
    for name, value, _ in changes:
        assert robot.set(**{name: value}) == [(True, "")]
    result = robot.outcome(handle)[1]
    for name, _, value in changes:
        assert robot.set(**{name: value}) == [(True, "")]
    assert result.status == Result.OK and result.answer and result.targets[0].has_box, result.message
    assert result.targets[0].box.header.frame_id == "camera"


def test_the_clock_is_changed_while_a_query_runs(robot):
    robot.stream()
    handle = robot.send("sleep 20 red, timeless")
    robot.stage_seen(Stage.GENERATING)
    assert robot.set(use_sim_time=True) == [(True, "")]
    status, result = robot.outcome(handle)
    assert (status, result.status) == (GoalStatus.STATUS_ABORTED, Result.CANCELLED) and "clock" in result.message
    assert robot.set(use_sim_time=False) == [(True, "")]
