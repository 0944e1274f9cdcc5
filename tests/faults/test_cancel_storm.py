"""A thousand queries cut off at every stage, at a real camera's size and with real clouds; then the next is fine."""

import random

import numpy as np
import pytest
from action_msgs.msg import GoalStatus
from lisa_ros.msg import SegmentationResult as Result

pytestmark = [pytest.mark.ros, pytest.mark.timeout(600)]
HEIGHT, WIDTH = 720, 1280


def large_moment():
    """A picture with a wall of red, so that the cloud has some 300,000 points before it is thinned out."""
    image = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    image[100:600, 300:900] = (220, 30, 30)
    depth = np.tile(np.linspace(900, 1100, WIDTH).astype(np.uint16), (HEIGHT, 1))
    return image, depth


@pytest.fixture(scope="module")
def robot(start_node):
    node, robot = start_node(image_timeout=5.0, max_image_age=5.0, **{"cloud.voxel_size": 0.0})
    robot.repeat(lambda: robot.moment(*large_moment()), rate=2)
    assert robot.until(lambda: robot.ask(f"red, first {robot.stamp()}").mask.width == WIDTH)
    yield robot
    robot.stop_stream()
    assert node.process.poll() is None, node.log[-5000:]


def pause(robot, chance):
    """A moment in which a query reaches one stage or another."""
    end = robot.stamp() + round(chance.choice((0.0, 0.005, 0.02, 0.06, 0.2)) * 1e9)
    robot.until(lambda: robot.stamp() >= end)


def test_words_that_supersede_one_another_at_every_stage(robot):
    chance = random.Random(1)
    texts = [f"{chance.choice(('red', 'talk 3 red', 'red green'))} {number}" for number in range(800)]
    for text in texts:
        robot.say(text)
        pause(robot, chance)
    assert robot.until(lambda: not robot.owed()), robot.owed()[:5]
    assert set(robot.counts(texts).values()) == {1}
    statuses = {robot.results_of(text)[0].status for text in texts}
    assert statuses <= {Result.OK, Result.CANCELLED} and Result.OK in statuses
    assert robot.ask("red, after the storm").status == Result.OK


def test_goals_cancelled_at_every_stage(robot):
    chance = random.Random(2)
    for number in range(200):
        handle = robot.send(f"talk 2 red goal {number}")
        pause(robot, chance)
        robot.wait(handle.cancel_goal_async())
        status, result = robot.outcome(handle)
        assert (status, result.status) in [
            (GoalStatus.STATUS_CANCELED, Result.CANCELLED),
            (GoalStatus.STATUS_SUCCEEDED, Result.OK),
        ], result.message
    last = robot.outcome(robot.send("red, after the cancels"))[1]
    assert last.status == Result.OK and last.targets[0].has_box, last.message
