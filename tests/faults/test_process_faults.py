"""Lifecycle transitions in bad moments; processes that are killed while others depend on them."""

import os
import signal
from pathlib import Path

import pytest
from action_msgs.msg import GoalStatus
from lifecycle_msgs.srv import ChangeState
from lisa_ros.action import Segment
from lisa_ros.msg import SegmentationResult as Result
from node_harness import LATCHED, TRANSITIONS

pytestmark = pytest.mark.ros
Stage = Segment.Feedback


@pytest.mark.parametrize("words", ["burn 20 red", "block 2 red"])
def test_deactivate_cleanup_configure_activate_during_a_query(robot, words):
    robot.stream()
    running, waiting = robot.send_many([f"{words}, running", f"{words}, waiting"])
    robot.stage_seen(Stage.GENERATING)
    robot.say(f"{words}, said")
    for transition in ("deactivate", "cleanup", "configure", "activate"):
        assert robot.transition(transition), transition
    for handle in (running, waiting):
        status, result = robot.outcome(handle)
        assert (status, result.status) == (GoalStatus.STATUS_ABORTED, Result.CANCELLED)
    assert robot.state() == "active"
    robot.hello_again()


def test_queries_in_every_state_get_a_result(robot):
    robot.stream()
    client = robot._named_clients["perception/change_state"]
    texts = []
    for transition in ("deactivate", "cleanup", "configure", "activate"):
        request = ChangeState.Request()
        request.transition.id = TRANSITIONS[transition]
        future = client.call_async(request)
        for n in range(5):
            texts.append(f"red, {n} during {transition}")
            robot.say(texts[-1])
        assert robot.wait(future).success
        texts.append(f"red after {transition}")
        robot.ask(texts[-1])
    assert robot.until(lambda: not robot.owed())
    states = {robot.results_of(text)[0].status for text in texts}
    assert states <= {Result.OK, Result.CANCELLED, Result.REJECTED, Result.NO_IMAGE}
    robot.hello_again()


def test_a_goal_whose_client_dies_does_not_disturb_the_others(robot, shared_context):
    from fault_robot import FaultRobot

    robot.stream()
    other = FaultRobot(shared_context, robot.get_namespace())
    assert other.until(other.action.server_is_ready)
    other.send("sleep 1 red of the dead")
    other.close()
    robot.asked["sleep 1 red of the dead"] += 1  # its result still goes to the world
    assert robot.until(lambda: robot.results_of("sleep 1 red of the dead"))
    assert robot.ask("red of the living").status == Result.OK


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def descendants(pid):
    return [each for child in children(pid) for each in (child, *descendants(child))]


def is_running(pid):
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_helpers_of_the_node_that_are_killed_are_replaced(robot, node):
    helpers = [
        pid
        for thread in Path(f"/proc/{node.process.pid}/task").iterdir()
        for pid in map(int, (thread / "children").read_text().split())
    ]
    if not helpers:
        pytest.skip("the node runs without helpers")
    for pid in helpers:
        os.kill(pid, signal.SIGKILL)
    first = robot.ask_about("red without helpers")
    assert first.status in (Result.OK, Result.NO_DEPTH) and first.targets[0].area == 1600, first.message
    assert robot.ask_about("red with new helpers").status == Result.OK


def test_a_node_that_is_killed_and_restarted_serves_the_same_clients(start_node):
    node, robot = start_node()
    robot.stream()
    last = robot.ask("red, last words")
    lost = robot.send("sleep 20 red, lost")
    robot.say("blue, lost")
    robot.stage_seen(Stage.GENERATING)
    helpers = [
        pid
        for thread in Path(f"/proc/{node.process.pid}/task").iterdir()
        for pid in map(int, (thread / "children").read_text().split())
    ]
    node.process.kill()
    node.process.wait()
    assert robot.until(lambda: not any(map(is_running, helpers))), "helpers end with their node"

    robot.asked.clear()  # what the dead node owed is lost
    before = len(robot.results)
    again, _ = start_node(namespace=robot.get_namespace(), robot=robot)
    robot.stream()
    assert robot.ask("red, reborn").status == Result.OK
    status, result = robot.outcome(robot.send("talk 3 red, reborn goal"))
    assert (status, result.status) == (GoalStatus.STATUS_SUCCEEDED, Result.OK)
    assert robot.get("model") == "tabletop" and robot.state() == "active"
    assert robot.trigger("cancel").success is False
    robot.settle()
    assert not [result for result in robot.results[before:] if "lost" in result.query or result == last]
    assert not lost.get_result_async().done()

    newest, seen = robot.results[-1], []
    late = robot.create_subscription(Result, "result", seen.append, LATCHED)
    # On a busy machine a reader may hear of a writer that has just been replaced, before it hears of the new one.
    assert robot.until(lambda: seen and seen[-1].query_id == newest.query_id)
    robot.destroy_subscription(late)
    assert again.process.poll() is None and "Traceback" not in again.log
