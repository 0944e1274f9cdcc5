"""A followed goal and a camera that moves, is covered or turns away, against the truth of each image."""

import numpy as np
import pytest
from lisa_ros.action import Segment
from lisa_ros.msg import SegmentationResult as Result
from lisa_ros.msg import SegmentationTarget
from node_harness import SECOND
from run_clips import clips

pytestmark = pytest.mark.ros


@pytest.fixture(scope="module")
def running(start):
    process, robot = start("run_clips.py", active=False, follow_interval=0.6, max_image_age=0.0, image_timeout=60.0)
    ready = lambda: "active, subscribed" in process.log and robot.action.server_is_ready()  # noqa: E731
    assert robot.until(ready, 90), process.log
    assert robot.until(lambda: robot.count_publishers("markers") and robot.images.get_subscription_count(), 20)
    return process, robot


def followed(robot):
    """Results of single frames that came as feedback."""
    return [one.result for one in robot.feedback if one.stage == Segment.Feedback.FOLLOWING]


def stamp_of(result):
    return result.header.stamp.sec * SECOND + result.header.stamp.nanosec


def is_followed(robot, image, stamp):
    """Shows an image, again where it was lost on the way; whether there is a frame about it."""
    robot.show(image=image, stamp=stamp)
    return robot.until(lambda: any(stamp_of(result) == stamp for result in followed(robot)), 5)


def mask_of(target, shape):
    mask, roi = np.zeros(shape, bool), target.roi
    if target.mask.height:
        pixels = np.frombuffer(target.mask.data, np.uint8).reshape(target.mask.height, target.mask.step)
        mask[roi.y_offset : roi.y_offset + roi.height, roi.x_offset : roi.x_offset + roi.width] = pixels > 0
    return mask


@pytest.mark.parametrize("clip", list(clips()), ids=lambda clip: clip.kind)
def test_one_id_through_the_clip_and_nothing_where_nothing_is(robot, clip):
    images = list(clip.images())
    robot.seen["markers"].clear()
    handle = robot.send(f"it in {clip.kind}", follow=True)
    truths = {}
    start = robot.stamp()
    # By the clip's own time, and the next image when there is a frame about this one: the same on every machine.
    for number, one in enumerate((images[0], *images, *images[-1:] * 3)):
        stamp = start + number * SECOND // 10
        truths[stamp] = one.truth
        assert any(is_followed(robot, one.image, stamp) for _ in range(10))
    robot.wait(handle.cancel_goal_async())
    results = [(truths[at], one) for one in followed(robot) if (at := stamp_of(one)) in truths]  # not the clip before
    assert len(results) == len(truths)
    answered = {(result.answer_stamp.sec, result.answer_stamp.nanosec) for _, result in results}
    assert len(answered) < len(results) * (0.5 if clip.kind == "camera" else 0.8)
    full = max(np.count_nonzero(one.truth) for one in images)
    overlaps, ids = [], set()
    for truth, result in results:
        (target,) = result.targets
        mask = mask_of(target, truth.shape)
        if not truth.any():
            assert target.kind != SegmentationTarget.SEGMENTED and not mask.any() and not target.has_box
            assert result.status == Result.NO_TARGET
        elif np.count_nonzero(truth) > full / 2 and target.kind == SegmentationTarget.SEGMENTED:
            overlaps.append(np.count_nonzero(mask & truth) / np.count_nonzero(mask | truth))
        ids |= {target.id} - {0}
    assert len(ids) == 1  # of the target that was seen, lost, and seen again
    assert np.mean(overlaps) > 0.8
    assert results[-1][1].targets[0].kind == SegmentationTarget.SEGMENTED
    hidden = [result for truth, result in results if not truth.any()]
    assert bool(hidden) == (clip.kind != "camera")
    assert all("not seen any more: it" in result.message for result in hidden)
    markers = [marker for message in robot.seen["markers"] for marker in message.markers if marker.ns == "box"]
    assert {marker.id for marker in markers} == ids
