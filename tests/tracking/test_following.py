"""Targets that are followed: moved, lost, found again, with one id each; on pictures whose truth is known."""

import itertools

import numpy as np
import pytest

from lisa_ros.errors import ConfigurationError, InvalidImageError
from lisa_ros.simulator import scene_at
from lisa_ros.tracking import FlowTracker, TargetFollower
from lisa_ros.types import ABSENT, LOST, SEGMENTED, SegmentationResult, Target

pytestmark = pytest.mark.unit
SEED = 2 << 40


def iou(mask, truth):
    return np.count_nonzero(mask & truth) / max(1, np.count_nonzero(mask | truth))


def picture(*squares, size=(120, 160)):
    """Grey with a grain; squares: (x, y, colour), 30 px wide."""
    grain = np.random.default_rng(0).integers(80, 110, (*size, 1))
    image = np.repeat(grain, 3, axis=2).astype(np.uint8)
    texture = np.random.default_rng(1).integers(-15, 15, (30, 30, 3))
    for x, y, colour in squares:
        part = image[y : y + 30, x : x + 30]
        part[:] = np.clip(np.array(colour) + texture[: part.shape[0], : part.shape[1]], 0, 255)
    return image


RED, BLUE = (200, 40, 40), (40, 40, 200)


def answer(image, *wanted):
    """Masks of the squares of these colours, one for each connected part."""
    import cv2

    targets = []
    for name, colour in wanted:
        near = (np.abs(image.astype(int) - colour).max(axis=2) < 40).astype(np.uint8)
        count, labels = cv2.connectedComponents(near)
        masks = [labels == number for number in range(1, count)]
        targets += [Target(name, SEGMENTED, mask) for mask in masks if mask.sum() > 100] or [
            Target(name, ABSENT, np.zeros(near.shape, bool))
        ]
    return SegmentationResult("q", "It is there.", tuple(targets))


def seen(result):
    return {target.id: target.kind for target in result.targets if target.kind != ABSENT}


@pytest.mark.parametrize("motion", ["camera", "objects"])
def test_flow_keeps_masks_on_moving_objects_for_a_second(motion):
    first = scene_at(SEED, 0.0, motion)
    ids = [item.id for item in first.objects if item.queryable]
    tracker = FlowTracker()
    tracker.start(first.image, [first.mask(number) for number in ids])
    for step in range(1, 11):
        scene = scene_at(SEED, step / 10, motion)
        moved = tracker.update(scene.image)
    scores = [iou(one.mask, scene.mask(number)) for one, number in zip(moved, ids, strict=True)]
    still = [iou(first.mask(number), scene.mask(number)) for number in ids]
    assert np.mean(scores) > 0.9 and np.mean(still) < 0.6
    assert all(0 <= one.confidence <= 1 and one.mask.dtype == bool for one in moved)


def test_flow_at_the_cameras_resolution():
    """Larger images are reduced for the flow; masks have the image's size and are as exact."""
    first, later = (scene_at(SEED, time, "camera", 480, 640) for time in (0.0, 0.2))
    number = max(first.objects, key=lambda item: item.pixels).id
    tracker = FlowTracker()
    tracker.start(first.image, [first.mask(number)])
    (moved,) = tracker.update(later.image)
    assert moved.mask.shape == (480, 640) and iou(moved.mask, later.mask(number)) > 0.93 and moved.confidence > 0.8


def test_another_view_is_not_taken_for_the_target():
    first, other = scene_at(SEED, 0.0), scene_at(SEED + 1, 0.0)
    tracker = FlowTracker()
    tracker.start(first.image, [first.mask(item.id) for item in first.objects if item.queryable])
    assert np.mean([one.confidence for one in tracker.update(other.image)]) < 0.5


def test_what_cannot_be_followed_is_refused():
    tracker = FlowTracker()
    with pytest.raises(InvalidImageError, match="none was started with"):
        tracker.update(picture())
    tracker.start(picture(), [])
    assert tracker.update(picture()) == ()
    with pytest.raises(InvalidImageError, match=r"\(60, 80, 3\).*\(120, 160, 3\)"):
        tracker.update(picture(size=(60, 80)))
    for interval in (0.0, -1.0, float("nan")):
        with pytest.raises(ConfigurationError, match="interval"):
            TargetFollower(tracker, interval)


class Scripted:
    """A tracker that says what it is told to: (mask, confidence) for each mask."""

    def __init__(self):
        self.says = []

    def start(self, image, masks):
        self.started = list(masks)

    def update(self, image):
        from lisa_ros.tracking import TrackedMask

        said = self.says or [(mask, 1.0) for mask in self.started]
        return tuple(TrackedMask(*one) for one in said)


def test_targets_keep_their_ids_between_answers_and_from_one_to_the_next():
    follower = TargetFollower(FlowTracker(), 1.0)
    asked = 0
    for step in range(25):
        image = picture((20 + step, 30, RED), (110 - step, 80, BLUE))
        result = follower.follow(image, step / 10)
        if result is None:
            asked += 1
            # The order of the answer changes; the ids do not.
            order = [("red", RED), ("blue", BLUE)][:: 1 if asked % 2 else -1]
            result = follower.accept(image, step / 10, answer(image, *order))
        by_phrase = {target.phrase: target for target in result.targets}
        assert (by_phrase["red"].id, by_phrase["blue"].id) == (1, 2)
        truth = np.zeros((120, 160), bool)
        truth[30:60, 20 + step : 50 + step] = True
        assert iou(by_phrase["red"].mask, truth) > 0.8
        assert result.answer == "It is there."
    assert asked == 3


def test_the_model_is_asked_early_where_the_tracker_is_unsure_and_not_for_every_image():
    tracker = Scripted()
    follower = TargetFollower(tracker, 1.0)
    image = picture((20, 30, RED))
    follower.accept(image, 0.0, answer(image, ("red", RED)))
    assert follower.follow(image, 0.9) is not None
    assert follower.follow(image, 1.0) is None
    tracker.says = [(tracker.started[0], 0.5)]
    assert follower.follow(image, 0.2) is not None  # too soon after the answer
    assert follower.follow(image, 0.3) is None
    assert follower.follow(image, -0.1) is None  # time went back
    assert follower.follow(picture(size=(60, 80)), 0.1) is None


def test_a_target_behind_something_is_lost_without_a_mask_and_found_again_by_the_tracker():
    tracker = Scripted()
    follower = TargetFollower(tracker, 10.0)
    image = picture((20, 30, RED))
    follower.accept(image, 0.0, answer(image, ("red", RED)))
    mask = tracker.started[0]
    for time, confidence, kind in ((0.1, 0.1, LOST), (0.2, 0.5, LOST), (0.3, 0.8, SEGMENTED), (0.4, 0.5, SEGMENTED)):
        tracker.says = [(mask, confidence)]
        (target,) = follower.follow(image, time).targets
        assert (target.id, target.kind, bool(target.mask.any())) == (1, kind, kind == SEGMENTED)
        assert target.logits is None and np.isnan(target.quality)


def test_what_an_answer_does_not_name_is_lost_and_found_again_under_its_id():
    follower = TargetFollower(FlowTracker(), 1.0)
    both, alone = picture((20, 30, RED), (110, 80, BLUE)), picture((110, 80, BLUE))
    wanted = ("red", RED), ("blue", BLUE)
    assert seen(follower.accept(both, 0.0, answer(both, *wanted))) == {1: SEGMENTED, 2: SEGMENTED}
    assert follower.follow(alone, 1.0) is None
    result = follower.accept(alone, 1.0, answer(alone, *wanted))
    assert seen(result) == {2: SEGMENTED, 1: LOST}
    assert [target.kind for target in result.targets] == [SEGMENTED, LOST]  # and not absent as well
    assert seen(follower.follow(alone, 1.1)) == {2: SEGMENTED, 1: LOST}
    elsewhere = picture((60, 10, RED), (110, 80, BLUE))
    assert follower.follow(elsewhere, 2.0) is None
    assert seen(follower.accept(elsewhere, 2.0, answer(elsewhere, *wanted))) == {1: SEGMENTED, 2: SEGMENTED}


def test_another_thing_of_the_same_name_gets_another_id():
    follower = TargetFollower(FlowTracker(), 1.0)
    red, blue = picture((20, 30, RED)), picture((110, 80, BLUE))
    follower.accept(red, 0.0, answer(red, ("mug", RED)))
    follower.follow(blue, 1.0)
    assert seen(follower.accept(blue, 1.0, answer(blue, ("mug", BLUE)))) == {2: SEGMENTED, 1: LOST}


def test_a_lost_target_is_not_reported_for_ever_and_ids_are_never_used_again():
    ids = itertools.count(7)
    follower = TargetFollower(Scripted(), 1.0, ids)
    red, empty = picture((20, 30, RED)), picture()
    assert seen(follower.accept(red, 0.0, answer(red, ("red", RED)))) == {7: SEGMENTED}
    follower.follow(empty, 20.0)
    assert seen(follower.accept(empty, 20.0, answer(empty, ("red", RED)))) == {7: LOST}
    result = follower.accept(empty, 55.0, answer(empty, ("red", RED)))
    assert [(target.id, target.kind) for target in result.targets] == [(0, ABSENT)]
    assert seen(follower.accept(red, 56.0, answer(red, ("red", RED)))) == {8: SEGMENTED}


def test_an_image_of_another_size_keeps_ids_by_name():
    follower = TargetFollower(FlowTracker(), 1.0)
    small, large = picture((20, 30, RED)), picture((60, 90, RED), size=(240, 320))
    follower.accept(small, 0.0, answer(small, ("red", RED)))
    assert follower.follow(large, 0.1) is None
    assert seen(follower.accept(large, 0.1, answer(large, ("red", RED)))) == {1: SEGMENTED}
    (target,) = follower.follow(large, 0.2).targets
    assert target.mask.shape == (240, 320)
