"""Follows targets through clips and asks the model about every image of the same clips."""

import time
from collections.abc import Callable, Iterable

import numpy as np

from lisa_ros.evaluation.following.clips import Clip, ClipImage
from lisa_ros.evaluation.following.events import EventCounter, FollowingCounts
from lisa_ros.inference.engine import Lisa
from lisa_ros.progress import track
from lisa_ros.tracking import FlowTracker, MaskTracker, TargetFollower
from lisa_ros.types import SEGMENTED, SegmentationResult

EVERY_IMAGE, FOLLOWED = "every_image", "followed"


def evaluate_following(
    lisa: Lisa,
    clips: Iterable[Clip],
    interval: float = 1.0,
    every: int = 1,
    progress: bool = False,
    new_tracker: Callable[[], MaskTracker] = FlowTracker,
) -> dict:
    """Scores of following and of asking about every image, by kind of clip and over all.

    Args:
        lisa: The engine.
        clips: As `clips.draw_clips` gives them.
        interval: s between two answers of the model while it follows.
        every: Of every how many images the model is asked where it is asked about "every" one; the others are not
            counted on that side. Its rate does not depend on it.
        progress: Show a bar on stderr.
        new_tracker: What moves the masks, one for each clip.

    Returns:
        {kind: {"every_image": counts, "followed": counts, "iou_ratio", "rate_ratio",
        "cpu_ratio"}}, kind "all" last; counts as
        `FollowingCounts.to_dict`, ratios of followed to every image, None without visible images.
    """
    sums: dict[str, dict[str, FollowingCounts]] = {}
    for clip in track(list(clips), unit="clip", active=progress):
        counts = follow_clip(lisa, clip, interval, every, new_tracker)
        for kind in (clip.kind, "all"):
            total = sums.setdefault(kind, {name: FollowingCounts() for name in counts})
            for name, one in counts.items():
                total[name] += one
    return {kind: _compared(sums[kind]) for kind in sorted(sums, key=lambda kind: (kind == "all", kind))}


def follow_clip(
    lisa: Lisa, clip: Clip, interval: float, every: int = 1, new_tracker: Callable[[], MaskTracker] = FlowTracker
) -> dict[str, FollowingCounts]:
    """Counts of one clip, "every_image" and "followed"."""
    images = list(clip.images())
    full = max(int(np.count_nonzero(image.truth)) for image in images)
    follower = TargetFollower(new_tracker(), interval)
    counters = {name: EventCounter(full) for name in (EVERY_IMAGE, FOLLOWED)}

    def ask(one: ClipImage) -> tuple[SegmentationResult, bool]:
        return lisa.chat(lisa.encode(one.image), clip.question), True

    def follow(one: ClipImage) -> tuple[SegmentationResult, bool]:
        result = follower.follow(one.image, one.time)
        if result is not None:
            return result, False
        return follower.accept(one.image, one.time, ask(one)[0]), True

    for number, one in enumerate(images):
        if number % every == 0:
            _count(counters[EVERY_IMAGE], one, ask)
        _count(counters[FOLLOWED], one, follow)
    return {name: counter.counts for name, counter in counters.items()}


def _count(
    counter: EventCounter, one: ClipImage, answer: Callable[[ClipImage], tuple[SegmentationResult, bool]]
) -> None:
    started, cpu = time.perf_counter(), time.process_time()
    result, answered = answer(one)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    union = result.union_mask
    mask = np.zeros(one.truth.shape, bool) if union is None else union
    ids = {target.id for target in result.targets if target.kind == SEGMENTED and target.id}
    counter.add(mask, one.truth, ids, seconds, answered, cpu)


def _compared(counts: dict[str, FollowingCounts]) -> dict:
    rows = {name: one.to_dict() for name, one in counts.items()}
    ratios = {}
    for key in ("iou", "rate", "cpu_rate"):
        ours, theirs = rows[FOLLOWED][key], rows[EVERY_IMAGE][key]
        ratios["cpu_ratio" if key == "cpu_rate" else f"{key}_ratio"] = (
            ours / theirs if ours is not None and theirs else None
        )
    return rows | ratios
