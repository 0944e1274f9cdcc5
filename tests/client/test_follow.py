"""`PerceptionClient.follow` and a real node: frames, ids, lost and found again, and every way in which it ends."""

import numpy as np
import pytest
import rclpy
from node_harness import picture
from rclpy.executors import SingleThreadedExecutor

from lisa_ros.client import PerceptionClient, QueryStatus
from lisa_ros.errors import ConfigurationError, FollowingEndedError, QueryTimeoutError
from lisa_ros.types import LOST, SEGMENTED

pytestmark = pytest.mark.ros


@pytest.fixture(scope="module")
def node(start_node):
    return start_node(follow_interval=0.5)


@pytest.fixture
def camera(node):
    yield node[2]
    node[2].change()


def without_red():
    image = picture()
    image[30:70, 40:80] = 90
    return image


def take(frames, wanted, most=200):
    """Frames up to the first one for which wanted(frame) holds."""
    taken = []
    for frame in frames:
        taken.append(frame)
        if wanted(frame):
            return taken
        assert len(taken) < most, [(one.result.status, one.result.message) for one in taken[-3:]]
    raise AssertionError("the frames ended")


def test_frames_have_stable_ids_and_say_what_is_lost_and_found_again(lisa, camera):
    with lisa.follow("red and blue", timeout=20) as frames:
        first = take(frames, lambda frame: len(frame.seen) == 2)[-1]
        red, blue = (target.id for target in first.result.targets)
        assert first.new == {red, blue} and first.is_answered and not first.lost and not first.found_again
        assert first.result.status is QueryStatus.OK and first.result.targets[0].location is not None
        expected = np.zeros((120, 160), bool)
        expected[30:70, 40:80] = True
        np.testing.assert_array_equal(first.result.targets[0].mask, expected)

        later = take(frames, lambda frame: not frame.is_answered)[-1]
        assert later.seen == {red, blue} and not later.new and 0 < later.result.answer_stamp < later.result.stamp

        camera.change(image=without_red())
        gone = take(frames, lambda frame: red not in frame.seen)
        assert gone[-1].lost == {red} and gone[-1].missing == {red} and gone[-1].seen == {blue}
        (target,) = (one for one in gone[-1].result.targets if one.id == red)
        assert target.kind == LOST and not target.mask.any() and target.location is None
        assert not any(frame.new for frame in gone)

        camera.change()
        back = take(frames, lambda frame: red in frame.seen)
        assert back[-1].found_again == {red} and not back[-1].new and not back[-1].missing
        stamps = [frame.result.stamp for frame in (first, later, *gone, *back)]
        assert stamps == sorted(set(stamps))
    assert frames.result().status is QueryStatus.CANCELLED
    assert list(frames) == []


def test_a_slow_program_gets_the_newest_frame_and_memory_does_not_grow(lisa, camera):
    with lisa.follow("red", timeout=20, with_cloud=False) as frames:
        take(frames, lambda frame: frame.seen)
        camera.spin(2.0)
        newest = camera.stamps[-1]
        assert len(frames._results) <= 1 and len(frames._feedback) <= 1
        frame = take(frames, lambda frame: frame.result.stamp >= newest - 1_000_000_000)[0]
        assert frame.result.stamp >= newest - 1_000_000_000
        assert frame.result.targets[0].location is None


def test_frames_by_callback_in_a_node_of_the_callers(node, shared_context):
    mine = rclpy.create_node("follower", context=shared_context)
    executor = SingleThreadedExecutor(context=shared_context)
    executor.add_node(mine)
    client = PerceptionClient(node[1], node=mine, clouds="none", discovery_timeout=30)
    seen = []
    handle = client.follow("blue", timeout=20, on_frame=seen.append)
    while len(seen) < 5 and not handle.done():
        executor.spin_once(timeout_sec=0.1)
    handle.cancel()
    while not handle.done():
        executor.spin_once(timeout_sec=0.1)
    assert handle.result().status is QueryStatus.CANCELLED
    ids = {target.id for frame in seen for target in frame.result.targets}
    assert len(seen) >= 5 and len(ids) == 1 and {one.kind for one in seen[-1].result.targets} == {SEGMENTED}

    def fail(frame):
        raise ZeroDivisionError("of the caller")

    handle = client.follow("blue", timeout=20, on_frame=fail)
    while not handle.done():
        executor.spin_once(timeout_sec=0.1)
    with pytest.raises(ZeroDivisionError):
        handle.result()
    client.close()
    mine.destroy_node()


def test_an_end_that_nobody_asked_for_is_an_error(lisa):
    older = lisa.follow("red", timeout=20)
    iterator = iter(older)
    next(iterator)
    with lisa.follow("blue", timeout=20) as newer:
        take(newer, lambda frame: frame.seen)
        with pytest.raises(FollowingEndedError, match="'red' is not followed any more: CANCELLED, superseded"):
            for _ in iterator:
                pass
    with pytest.raises(FollowingEndedError, match="MODEL_ERROR"):
        next(iter(lisa.follow("crash", timeout=20)))
    with pytest.raises(FollowingEndedError, match="REJECTED"):
        next(iter(lisa.follow("", timeout=20)))
    with pytest.raises(QueryTimeoutError):
        next(iter(lisa.follow("red sleep 30", timeout=1.0)))
    with pytest.raises(ConfigurationError, match="image_stamp does not go with follow"):
        lisa.follow("red", image_stamp=1)
    assert lisa.ask("red", timeout=20).status is QueryStatus.OK  # and nothing of it is left
