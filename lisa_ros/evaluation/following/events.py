"""What happened to a followed target: lost, found again, kept where it is not."""

from dataclasses import asdict, dataclass

import numpy as np

VISIBLE = 0.5  # share of the largest truth in the clip from which a target counts as visible
_HIT, _MISS = 0.3, 0.1  # IoU from which a mask is on the target, and below which it is on something else


@dataclass
class FollowingCounts:
    """Counts over images; `+` adds those of two clips.

    Attributes:
        images: All of them.
        answered: Of these, answered by the model.
        visible: Images in which the target is well visible.
        iou_sum: Sum of IoU over the visible ones.
        lost: Times that a target which was found is not found any more although it is visible.
        lost_hidden: Times that it is not found any more because it is hidden.
        found_again: Times that it is found again after either.
        same_id: Of these, under an id that it had before.
        new_ids: Ids beyond those of the first image that had any.
        wrongly_kept: Images with a mask although nothing of the target is visible, or that misses it wholly.
        seconds: Wall time.
        cpu_seconds: CPU time of the process, which depends less on what else the machine does.
    """

    images: int = 0
    answered: int = 0
    visible: int = 0
    iou_sum: float = 0.0
    lost: int = 0
    lost_hidden: int = 0
    found_again: int = 0
    same_id: int = 0
    new_ids: int = 0
    wrongly_kept: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    def __add__(self, other: "FollowingCounts") -> "FollowingCounts":
        return FollowingCounts(**{name: value + getattr(other, name) for name, value in asdict(self).items()})

    def to_dict(self) -> dict:
        """The counts with `iou` (mean over visible images), `rate` (images per second) and `cpu_rate` (by CPU time).

        None for shares of none.
        """
        return asdict(self) | {
            "iou": self.iou_sum / self.visible if self.visible else None,
            "rate": self.images / self.seconds if self.seconds else None,
            "cpu_rate": self.images / self.cpu_seconds if self.cpu_seconds else None,
        }


class EventCounter:
    """Counts what happens in one clip.

    Args:
        full: Pixels of the target where it is seen best.
    """

    def __init__(self, full: int) -> None:
        self.counts = FollowingCounts()
        self._full = full
        self._was_found = False
        self._was_ever_found = False
        self._ids: set[int] = set()

    def add(
        self,
        mask: np.ndarray,
        truth: np.ndarray,
        ids: set[int],
        seconds: float,
        answered: bool,
        cpu_seconds: float = 0.0,
    ) -> None:
        """Counts one image.

        mask: (H, W) bool, what was found. truth: (H, W) bool. ids: of the targets that were found. seconds: wall time.
        answered: by the model. cpu_seconds: of the process.
        """
        counts = self.counts
        union = int(np.count_nonzero(mask | truth))
        iou = int(np.count_nonzero(mask & truth)) / union if union else 0.0
        is_visible = int(np.count_nonzero(truth)) >= max(1, VISIBLE * self._full)
        is_found = iou >= _HIT
        counts.images += 1
        counts.answered += answered
        counts.seconds += seconds
        counts.cpu_seconds += cpu_seconds
        if is_visible:
            counts.visible += 1
            counts.iou_sum += iou
        if self._was_found and not is_found:
            counts.lost += is_visible
            counts.lost_hidden += not is_visible
        elif self._was_ever_found and is_found and not self._was_found:
            counts.found_again += 1
            counts.same_id += bool(ids & self._ids)
        counts.wrongly_kept += bool(mask.any()) and iou < _MISS and (is_visible or not bool(truth.any()))
        if self._ids:
            counts.new_ids += len(ids - self._ids)
        self._ids |= ids
        self._was_found = is_found
        self._was_ever_found |= is_found
