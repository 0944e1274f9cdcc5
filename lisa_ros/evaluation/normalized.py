"""Scores in which every image counts the same: prediction and truth at one size, as LLM-Seg's ncIoU has them."""

import numpy as np

from lisa_ros.evaluation.metrics import Overlap, overlap_of
from lisa_ros.geometry.proposals import nearest_mask

NORMALIZED_SIZE = 1024  # px, both sides


def normalized_overlap(prediction: np.ndarray | None, truth: np.ndarray | None) -> Overlap:
    """As `overlap_of`, of both at 1024 x 1024 pixels; SegmentationMetrics of such overlaps has the ncIoU as `ciou`."""
    size = (NORMALIZED_SIZE, NORMALIZED_SIZE)
    return overlap_of(*(None if one is None else nearest_mask(one, *size) for one in (prediction, truth)))
