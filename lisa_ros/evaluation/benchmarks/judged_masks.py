"""Masks of answers, each with what a calibration is made of and whether it is right."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from lisa_ros.evaluation.metrics import overlap_of, union_truth
from lisa_ros.inference.quality import IOU
from lisa_ros.types import SEGMENTED, MaskFeatures, SegmentationResult, Turn


class JudgedMask(NamedTuple):
    """A mask that is not empty.

    Attributes:
        mean_probability: See `Target`.
        largest_share: As of `MaskFeatures`.
        compactness: As of `MaskFeatures`.
        stability: As of `MaskFeatures`.
        quality: That the result told; None where it told none.
        iou: With what was asked for: one of the targets, or all of them together, whichever is more; 0 where what was
            asked for is not there.
    """

    mean_probability: float
    largest_share: float
    compactness: float
    stability: float
    quality: float | None
    iou: float

    @property
    def features(self) -> MaskFeatures:
        """What the mask looks like."""
        return MaskFeatures(self.largest_share, self.compactness, self.stability)

    @property
    def right(self) -> bool:
        """Whether it counts as right."""
        return self.iou >= IOU


def judged_masks(result: SegmentationResult, turn: Turn, ignore: np.ndarray | None) -> tuple[JudgedMask, ...]:
    """The masks of an answer to a turn. ignore: (H, W) bool, pixels that do not count; None for none."""
    present = [target for target in turn.targets if target.mask is not None]
    wanted = [turn, *(replace(turn, targets=(target,)) for target in present)] if present else []
    truths = [union_truth(one, ignore) for one in wanted]
    found = []
    for target in result.targets:
        if target.kind != SEGMENTED or target.features is None:
            continue
        best = max((overlap_of(target.mask, truth).exact_iou for truth in truths), default=0.0)
        shape = target.features
        quality = None if np.isnan(target.quality) else target.quality
        numbers = target.mean_probability, shape.largest_share, shape.compactness, shape.stability, quality, best
        found.append(JudgedMask(*(None if number is None else round(float(number), 6) for number in numbers)))
    return tuple(found)
