"""A model, a load or a cloud that does not come back: told in time, and cured by lifecycle transitions."""

import os
import signal
import time
from pathlib import Path

import pytest
from action_msgs.msg import GoalStatus
from lisa_ros.action import Segment
from lisa_ros.msg import SegmentationResult as Result

pytestmark = pytest.mark.ros
Stage = Segment.Feedback
CURE = ("deactivate", "cleanup", "configure", "activate")


def cloud_process_of(node):
    """Process ids of the node's helpers."""
    tasks = Path(f"/proc/{node.process.pid}/task").iterdir()
    return [int(pid) for task in tasks for pid in (task / "children").read_text().split()]


@pytest.fixture(scope="module")
def hanging(start_node):
    """A node of these tests' own, whose model threads may be lost."""
    return start_node(image_timeout=1.0, max_image_age=1.0, model_timeout=1.0, cloud_timeout=2.0)


def test_a_model_that_hangs_for_good_is_replaced_by_transitions(hanging):
    node, robot = hanging
    robot.stream()
    status, result = robot.outcome(robot.send("block 1000 red"))
    assert (status, result.status) == (GoalStatus.STATUS_ABORTED, Result.MODEL_ERROR)
    assert "cleanup" in result.message, "the message says what helps"
    started = time.monotonic()
    for transition in CURE:
        assert robot.transition(transition), transition
        assert robot.get("model") == "tabletop"
    assert time.monotonic() - started < 25
    robot.hello_again()
    assert "is abandoned" in node.log
    assert robot.ask_about("red, cured").status == Result.OK
    robot.settle()


def test_parameters_are_answered_while_cleanup_waits_for_a_model(hanging):
    _, robot = hanging
    robot.stream()
    handle = robot.send("block 3 red")
    robot.stage_seen(Stage.GENERATING)
    robot.wait(handle.cancel_goal_async())
    assert robot.transition("deactivate")
    cleaned = robot.begin_transition("cleanup")
    answers = 0
    while not cleaned.done():
        started = time.monotonic()
        assert robot.get("mode") == "chat"
        assert time.monotonic() - started < 1.0
        answers += 1
    assert cleaned.result().success and answers > 3
    for transition in ("configure", "activate"):
        assert robot.transition(transition)
    robot.hello_again()


def test_a_load_that_hangs_fails_configure_and_another_model_loads(hanging):
    node, robot = hanging
    for transition in CURE[:2]:
        assert robot.transition(transition)
    assert robot.set(model="load=1000", load_timeout=1.0) == [(True, "")] * 2
    started = time.monotonic()
    assert not robot.transition("configure")
    assert time.monotonic() - started < 10
    assert robot.until(lambda: "longer than load_timeout, 1 s" in node.log)
    assert robot.state() == "unconfigured"
    assert robot.set(model="tabletop", load_timeout=900.0) == [(True, "")] * 2
    for transition in CURE[2:]:
        assert robot.transition(transition), transition
    robot.hello_again()


def test_a_cloud_process_that_hangs_is_told_as_such_and_replaced(hanging):
    node, robot = hanging
    [pid] = cloud_process_of(node)
    os.kill(pid, signal.SIGSTOP)
    result = robot.ask_about("red with a stopped cloud process")
    assert result.status == Result.NO_DEPTH and "cloud_timeout" in result.message
    assert "no sign of life" not in result.message and result.targets[0].area
    assert robot.ask_about("red with a new cloud process").status == Result.OK
    [new] = cloud_process_of(node)
    assert new != pid


def test_a_query_behind_a_cancelled_one_with_a_stopped_cloud_process_gets_its_cloud(hanging):
    node, robot = hanging
    [pid] = cloud_process_of(node)
    os.kill(pid, signal.SIGSTOP)
    robot.stream()
    handle = robot.send("red, to be cancelled")
    robot.stage_seen(Stage.CLOUD)
    robot.wait(handle.cancel_goal_async())
    assert robot.outcome(handle)[1].status == Result.CANCELLED
    assert robot.ask_about("red, behind it").status == Result.OK


def test_a_node_with_a_hanging_model_ends_with_its_signal(start_node):
    node, robot = start_node(model_timeout=1.0)
    robot.stream()
    assert robot.outcome(robot.send("block 1000 red"))[1].status == Result.MODEL_ERROR
    node.process.send_signal(signal.SIGINT)
    assert node.process.wait(30) == 0
