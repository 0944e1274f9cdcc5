"""What a subscriber gets that comes after the answer: the last answer, and nothing of what came before."""

import pytest
from geometry_msgs.msg import PoseStamped
from lisa_ros.action import Segment
from lisa_ros.msg import SegmentationResult as Result
from node_harness import LATCHED
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image, PointCloud2

pytestmark = pytest.mark.ros
Stage = Segment.Feedback
DEEP = QoSProfile(depth=1000, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def late(robot, kind, topic, seconds=2.0):
    """All that a subscriber gets that comes now."""
    return late_on_each(robot, {topic: kind}, seconds)[topic]


def late_on_each(robot, kinds, seconds=2.0):
    """As `late`, for several topics at the same time: {topic: messages} of {topic: message class}."""
    seen = {topic: [] for topic in kinds}
    subscriptions = [robot.create_subscription(kind, topic, seen[topic].append, DEEP) for topic, kind in kinds.items()]
    robot.until(lambda: False, seconds)
    for subscription in subscriptions:
        robot.destroy_subscription(subscription)
    return seen


def test_a_box_does_not_outlive_its_answer(robot):
    assert robot.ask_about("red, boxed").status == Result.OK
    assert len(late(robot, PoseStamped, "box")) == 1
    nothing = robot.ask_about("nothing at all")
    assert nothing.status == Result.NO_TARGET
    assert late(robot, PoseStamped, "box") == []
    boxes = []
    subscription = robot.create_subscription(PoseStamped, "box", boxes.append, LATCHED)
    for number in range(5):
        robot.ask_about(f"nothing {number}")
        assert robot.ask_about(f"red, boxed again {number}").status == Result.OK
        assert robot.until(lambda number=number: len(boxes) == number + 1), "missed the box after an empty answer"
    robot.destroy_subscription(subscription)


@pytest.mark.parametrize(("words", "status"), [("crash", Result.MODEL_ERROR), ("oom", Result.OUT_OF_MEMORY)])
def test_masks_and_clouds_do_not_outlive_a_query_that_failed(robot, words, status):
    assert robot.ask_about(f"red before a {status}").status == Result.OK
    assert robot.ask_about(f"{words} of red").status == status
    seen = late_on_each(robot, {"result": Result, "mask": Image, "points": PointCloud2, "box": PoseStamped})
    assert [result.status for result in seen.pop("result")] == [status]
    assert seen == {"mask": [], "points": [], "box": []}


def test_an_overlay_that_nobody_watched_is_not_that_of_an_earlier_answer(robot):
    watched = robot.create_subscription(Image, "overlay", lambda message: None, LATCHED)
    assert robot.until(lambda: robot.count_subscribers("overlay"))
    assert robot.until(lambda: robot.ask_about(f"red, watched {robot.stamp()}") and late(robot, Image, "overlay", 0.5))
    robot.destroy_subscription(watched)
    assert robot.until(lambda: not robot.count_subscribers("overlay"))
    assert robot.ask_about("red, unwatched").status == Result.OK
    assert late(robot, Image, "overlay") == []


def test_rejected_and_cancelled_queries_leave_the_last_answer_to_late_subscribers(robot, node):
    assert robot.set(queue_size=1) == [(True, "")]
    answer = robot.ask_about("red, the last answer")
    robot.stream()
    logged = len(node.log.splitlines())
    running = robot.send("sleep 20 red, running")
    robot.stage_seen(Stage.GENERATING)
    robot.send_many([f"red, too many {number}" for number in range(100)])
    assert robot.trigger("cancel").success
    assert robot.outcome(running)[1].status == Result.CANCELLED
    robot.stop_stream()
    assert robot.until(lambda: not robot.owed())
    assert robot.until(lambda: [each.query_id for each in late(robot, Result, "result", 1.0)] == [answer.query_id])
    assert len(node.log.splitlines()) - logged < 20
    assert robot.set(queue_size=8) == [(True, "")]


def test_words_that_come_faster_than_answers_are_answered(robot):
    robot.stream()
    same = "sleep 0.3 red, again and again"
    for _ in range(60):
        robot.say(same)
        robot.until(lambda: False, 0.05)
    assert robot.until(lambda: not robot.owed())
    answered = [result for result in robot.results_of(same) if result.status == Result.OK]
    assert len(answered) >= 3 and len(robot.results_of(same)) == 60


def test_different_words_win_and_yet_some_are_answered(robot):
    robot.stream()
    texts = [f"sleep 0.3 red {number}" for number in range(60)]
    for text in texts:
        robot.say(text)
        robot.until(lambda: False, 0.05)
    assert robot.until(lambda: not robot.owed())
    statuses = [robot.results_of(text)[0].status for text in texts]
    assert statuses.count(Result.OK) >= 2 and statuses[-1] == Result.OK
    assert robot.set(max_image_age=1.0) == [(True, "")]
    first, second = "sleep 20 red, first thought", "red, second thought"
    robot.say(first)
    assert robot.until(lambda: not robot.owed() or True, 0.3)
    assert robot.ask(second).status == Result.OK
    assert robot.results_of(first)[0].status == Result.CANCELLED
