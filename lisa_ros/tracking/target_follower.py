"""`TargetFollower`: the targets of one question in every image, asked about by the model now and then."""

import itertools
import time as clock
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from lisa_ros.errors import ConfigurationError
from lisa_ros.tracking.identity import Track, centre_of, colours_of, match
from lisa_ros.tracking.mask_tracker import MaskTracker
from lisa_ros.types import ABSENT, LOST, SEGMENTED, SegmentationResult, Target

_UNSURE = 0.7  # confidence below which the model is asked before its time, and above which a lost target is found again
_LOST = 0.4  # confidence below which a target is lost
_EARLIEST = 0.25  # of the interval: how soon after an answer an unsure tracker may ask for the next
_SOUGHT = 5.0  # s for which the model is asked as early for a lost target, which may come out from behind something
_FORGOTTEN = 30.0  # s after which a lost target is not reported any more


class TargetFollower:
    """Moves the targets of an answer from image to image and says when the model has to be asked again.

    Of each image first `follow`, and where that gives None, `accept` with the model's answer about it. What the model
    does not find any more is lost, whatever the tracker says; a lost target has no mask. It is found again under its id
    where the tracker sees it again, or where an answer names it again and it has the same colours.

    Args:
        tracker: What moves the masks.
        interval: Seconds from one answer to the next.
        ids: Numbers for new targets; None: 1, 2, ...

    Raises:
        ConfigurationError: The interval is not above 0.

    Example:
        >>> follower = TargetFollower(FlowTracker(), interval=1.0)
        >>> for time, image in camera:
        ...     result = follower.follow(image, time)
        ...     if result is None:
        ...         result = follower.accept(image, time, lisa.chat(lisa.encode(image), "the red mug"))
        ...     print([(target.id, target.kind) for target in result.targets])
    """

    def __init__(self, tracker: MaskTracker, interval: float, ids: Iterator[int] | None = None) -> None:
        if not interval > 0:
            raise ConfigurationError(f"interval={interval}: must be above 0 s")
        self._tracker, self._interval = tracker, interval
        self._ids = itertools.count(1) if ids is None else ids
        self._tracks: list[Track] = []
        self._tracked: list[Track] = []  # those that the tracker has, in its order
        self._answer: SegmentationResult | None = None
        self._shape: tuple[int, ...] = ()
        self.answered = 0.0

    def follow(self, image: np.ndarray, time: float) -> SegmentationResult | None:
        """Moves the targets to an image.

        Args:
            image: (H, W, 3) uint8 RGB.
            time: When it was taken, s.

        Returns:
            The last answer with its targets as they are seen now, "segmented" or "lost", each with its id; None where
            the model has to be asked about this image: there is no answer yet, it is older than the interval, the
            tracker is not sure or has lost a target a moment ago, time went back, or the image has another size.
        """
        if self._answer is None or image.shape != self._shape:
            return None
        started = clock.perf_counter()
        is_unsure = self._move(image, time)
        age = time - self.answered
        if not 0 <= age < self._interval or (is_unsure and age >= _EARLIEST * self._interval):
            return None
        seconds = clock.perf_counter() - started
        targets = [self._seen(track) for track in self._tracks]
        absent = [replace(target, alternative=None) for target in self._absent()]  # its mask was of the answer's image
        return replace(self._answer, targets=(*targets, *absent), seconds={"follow": seconds, "total": seconds})

    def accept(self, image: np.ndarray, time: float, answer: SegmentationResult) -> SegmentationResult:
        """Takes the model's answer about the image that `follow` was given last.

        Args:
            image: (H, W, 3) uint8 RGB.
            time: When it was taken, s.
            answer: Its targets' masks have the image's size.

        Returns:
            The answer with an id for each segmented target, and the lost ones behind them.
        """
        if image.shape != self._shape:
            for track in self._tracks:
                track.mask = None
        found = [target for target in answer.targets if target.kind == SEGMENTED and target.mask.any()]
        known = match(self._tracks, found, image)
        tracks = [self._track(target, known.get(index), image, time) for index, target in enumerate(found)]
        ids = {track.target.id for track in tracks}
        lost = [
            replace(track, mask=None)
            for track in self._tracks
            if track.target.id not in ids and 0 <= time - track.seen <= _FORGOTTEN
        ]
        self._tracker.start(image, [track.target.mask for track in tracks])
        self._tracks, self._tracked = tracks + lost, tracks
        self._answer, self._shape, self.answered = answer, image.shape, time
        targets = [self._seen(track, asked=True) for track in self._tracks]
        return replace(answer, targets=(*targets, *self._absent()))

    def _move(self, image: np.ndarray, time: float) -> bool:
        """Whether the model may be asked early: the tracker is unsure of a target, or has lost it a moment ago."""
        is_unsure = False
        for track, moved in zip(self._tracked, self._tracker.update(image), strict=True):
            is_unsure |= moved.confidence < _UNSURE
            limit = _UNSURE if track.mask is None else _LOST
            if moved.confidence >= limit and moved.mask.any():
                track.see(moved.mask, time)
            else:
                track.mask = None
        is_sought = any(track.mask is None and 0 <= time - track.seen <= _SOUGHT for track in self._tracks)
        return is_unsure or is_sought

    def _track(self, target: Target, known: Track | None, image: np.ndarray, time: float) -> Track:
        number = next(self._ids) if known is None else known.target.id
        colours = colours_of(image, target.mask)
        return Track(replace(target, id=number), colours, centre_of(target.mask), time, target.mask)

    def _seen(self, track: Track, asked: bool = False) -> Target:
        if asked and track.mask is not None:
            return track.target
        mask = np.zeros(self._shape[:2], bool) if track.mask is None else track.mask
        kind = LOST if track.mask is None else SEGMENTED
        told = {"logits": None, "coarse": None, "quality": float("nan"), "features": None}  # of the answer's mask alone
        return replace(track.target, kind=kind, mask=mask, alternative=None, candidate=None, **told)

    def _absent(self) -> list[Target]:
        """What the answer says is not there, and what it named without a pixel; not what is reported as lost."""
        lost = {track.target.phrase for track in self._tracks if track.mask is None}
        return [
            target
            for target in self._answer.targets
            if (target.kind == ABSENT or not target.mask.any()) and target.phrase not in lost
        ]
