"""Which target of a new answer is which of those that were followed."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from lisa_ros.types import Target

_SAME_PLACE = 0.3  # IoU of a followed mask and the model's own
_SAME_LOOK = 0.5  # Bhattacharyya distance of colours, 0 (equal) to 1
_BINS = 8


@dataclass
class Track:
    """One target that is followed.

    Attributes:
        target: As the model segmented it last, with its id.
        colours: (8, 8) float32 histogram of hue and saturation of its pixels.
        centre: (x, y) px, where it was seen last.
        seen: Time in s when it was seen last.
        mask: (H, W) bool in the newest image; None while it is lost.
    """

    target: Target
    colours: np.ndarray
    centre: np.ndarray
    seen: float
    mask: np.ndarray | None

    def see(self, mask: np.ndarray, time: float) -> None:
        """Notes where it is now."""
        self.mask, self.centre, self.seen = mask, centre_of(mask), time


def centre_of(mask: np.ndarray) -> np.ndarray:
    """(x, y) px, mean of the pixels of a mask that has some."""
    rows, columns = np.nonzero(mask)
    return np.array([columns.mean(), rows.mean()])


def colours_of(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(8, 8) float32 histogram of hue and saturation inside a mask, its sum 1.

    image: (H, W, 3) uint8 RGB. mask: (H, W) bool with some pixels.
    """
    hsv = cv2.cvtColor(image[mask][None], cv2.COLOR_RGB2HSV)
    histogram = cv2.calcHist([hsv], [0, 1], None, [_BINS, _BINS], [0, 180, 0, 256])
    return histogram / histogram.sum()


def match(tracks: Sequence[Track], targets: Sequence[Target], image: np.ndarray) -> dict[int, Track]:
    """The track of each target that has one, by the target's index.

    First by place: the pairs whose masks overlap most. Then by name: what is not seen where it was expected, or is
    lost, is a target of the same phrase and of like colours, the nearest first. Every track is at most one target.

    Args:
        tracks: Those that are followed or lost; their masks are of this image or None.
        targets: Segmented ones of an answer about this image, each with some pixels.
        image: (H, W, 3) uint8 RGB.
    """
    found: dict[int, Track] = {}
    _take(found, tracks, targets, lambda track, target: _distance_of_masks(track, target))
    _take(found, tracks, targets, lambda track, target: _distance_by_name(track, target, image))
    return found


def _take(found: dict[int, Track], tracks, targets, distance) -> None:
    """Adds pairs in the order of their distance; None: they are no pair."""
    taken = {id(track) for track in found.values()}
    pairs = [
        (far, index, number)
        for index, target in enumerate(targets)
        if index not in found
        for number, track in enumerate(tracks)
        if id(track) not in taken and (far := distance(track, target)) is not None
    ]
    for _, index, number in sorted(pairs):
        if index not in found and id(tracks[number]) not in taken:
            found[index] = tracks[number]
            taken.add(id(tracks[number]))


def _distance_of_masks(track: Track, target: Target) -> float | None:
    if track.mask is None or track.mask.shape != target.mask.shape:
        return None
    overlap = np.count_nonzero(track.mask & target.mask) / max(1, np.count_nonzero(track.mask | target.mask))
    return 1.0 - overlap if overlap >= _SAME_PLACE else None


def _distance_by_name(track: Track, target: Target, image: np.ndarray) -> float | None:
    if track.target.phrase.strip().lower() != target.phrase.strip().lower():
        return None
    difference = cv2.compareHist(track.colours, colours_of(image, target.mask), cv2.HISTCMP_BHATTACHARYYA)
    return float(np.linalg.norm(track.centre - centre_of(target.mask))) if difference <= _SAME_LOOK else None
