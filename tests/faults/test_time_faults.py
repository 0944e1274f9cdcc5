"""Clocks that jump, loop, stand still or disagree."""

import pytest
from lisa_ros.msg import SegmentationResult as Result
from node_harness import SECOND
from rosgraph_msgs.msg import Clock

pytestmark = pytest.mark.ros


@pytest.fixture(scope="module")
def simulated(start_node):
    """A node on simulated time whose clock stands still so far: (node, robot, set_time)."""
    node, robot = start_node(use_sim_time=True, image_timeout=1.0)
    publisher = robot.create_publisher(Clock, "/clock", 10)

    def set_time(seconds):
        message = Clock()
        message.clock.sec, message.clock.nanosec = int(seconds), round(seconds % 1 * SECOND)
        publisher.publish(message)

    assert robot.until(lambda: publisher.get_subscription_count() > 0)
    yield node, robot, set_time
    robot.stop_stream()
    assert node.process.poll() is None


class Bag:
    """Plays images and /clock of `start` to `end` s, at ten times the speed, and begins anew at its end."""

    def __init__(self, robot, set_time, start, end):
        self._robot, self._set_time, self._start, self._end = robot, set_time, start, end
        self.now, self.loops = start, 0

    def step(self):
        self.now += 0.2
        if self.now > self._end:
            self.now, self.loops = self._start, self.loops + 1
        self._set_time(self.now)
        self._robot.moment(stamp=round(self.now * SECOND))


def assert_one_result_each(robot):
    assert robot.until(lambda: not robot.owed()), robot.owed()
    assert robot.counts(robot.asked) == dict(robot.asked)


def test_a_clock_that_stands_still_lets_queries_end(simulated):
    _, robot, _ = simulated  # hello() has got its answers at time zero
    result = robot.outcome(robot.send("red of some other time", image_stamp=4000 * SECOND))[1]
    assert result.status == Result.NO_IMAGE, "waiting times are real ones"
    assert_one_result_each(robot)


def test_a_bag_that_loops_ends_open_queries_and_goes_on(simulated):
    node, robot, set_time = simulated
    bag = Bag(robot, set_time, 1000.0, 1004.0)
    robot.repeat(bag.step, rate=20)
    assert robot.until(lambda: robot.ask(f"red, bag {bag.loops} {bag.now:.1f}").status == Result.OK)
    for loop in range(3):
        seen = bag.loops
        handle = robot.send(f"sleep 20 red, loop {loop}")
        result = robot.outcome(handle)[1]
        assert result.status == Result.CANCELLED and "time jumped" in result.message
        assert bag.loops > seen
        after = robot.ask(f"red, after loop {loop}")
        assert after.status in (Result.OK, Result.CANCELLED), after.message
        assert after.status == Result.CANCELLED or 1000 <= after.header.stamp.sec <= 1004
    assert node.log.count("time jumped back") >= 1 and "Traceback" not in node.log
    robot.stop_stream()
    assert_one_result_each(robot)


def test_two_clocks_that_disagree_do_not_flood_the_log(simulated):
    node, robot, set_time = simulated
    before = node.log.count("[WARN]")
    ticks = iter(range(10**6))

    def tick():
        set_time(1000 + next(ticks) % 2)

    robot.repeat(tick, rate=100)
    result = robot.ask("red between the times")
    assert result.status in (Result.OK, Result.NO_IMAGE, Result.CANCELLED)  # OK: about an image from before
    assert robot.until(lambda: next(ticks) > 150)
    robot.stop_stream()
    assert node.log.count("[WARN]") - before <= 4
    assert_one_result_each(robot)


def test_time_that_jumps_back_and_forth_with_a_camera_works_in_the_end(simulated):
    node, robot, set_time = simulated
    for start in (5000.0, 100.0, 9000.0):
        bag = Bag(robot, set_time, start, start + 1000)
        robot.repeat(bag.step, rate=20)
        assert robot.until(lambda bag=bag: robot.ask(f"red, jump {bag.now:.1f}").status == Result.OK)
        result = robot.ask(f"red, from {start}")
        assert result.status == Result.OK and start <= result.header.stamp.sec <= start + 1000
        assert 0 <= result.image_age.sec <= 2
    assert "Traceback" not in node.log
    robot.stop_stream()
    assert_one_result_each(robot)
