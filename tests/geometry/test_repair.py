"""Specks dropped and holes filled, against labels of each part counted one by one."""

import cv2
import numpy as np
import pytest

from lisa_ros.errors import ConfigurationError
from lisa_ros.geometry import MaskOptions
from lisa_ros.geometry.repair import repair_result, repaired
from lisa_ros.types import SEGMENTED, SegmentationResult, Target

pytestmark = pytest.mark.unit


def by_labels(mask, share):
    """The definition, word for word: parts are 8-connected, holes 4-connected, a part counts with its holes."""
    count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    parts = []
    for number in range(1, count):
        part = labels == number
        outside = np.pad(~part, 1, constant_values=True).astype(np.uint8)
        holes, areas = cv2.connectedComponents(outside, connectivity=4)
        inner = [(areas == one)[1:-1, 1:-1] for one in range(1, holes) if one != areas[0, 0]]
        parts.append((part, inner, part.sum() + sum(hole.sum() for hole in inner)))
    limit = share * max(size for *_, size in parts)
    kept = np.zeros_like(mask)
    for part, inner, size in parts:
        if size >= limit:
            kept |= np.logical_or.reduce([part, *(hole for hole in inner if hole.sum() < limit)])
    return kept


@pytest.mark.parametrize("share", [0.01, 0.05, 0.3, 1.0])
def test_what_is_dropped_and_filled_is_what_counting_labels_says(share):
    rng = np.random.default_rng(1)
    for _ in range(60):
        coarse = rng.standard_normal((rng.integers(4, 14),) * 2).astype(np.float32)
        mask = cv2.resize(coarse, (40, 30), interpolation=cv2.INTER_CUBIC) > rng.uniform(-0.5, 0.7)
        if mask.any():
            np.testing.assert_array_equal(repaired(mask, share), by_labels(mask, share))


def test_a_speck_goes_a_pinhole_closes_and_the_handle_of_a_mug_stays_open():
    mask = np.zeros((40, 60), bool)
    mask[5:35, 5:35] = True
    mask[10:20, 10:20] = False  # the handle
    mask[30, 30] = False
    mask[2, 50] = True
    result = SegmentationResult("mug", "", (Target("mug", SEGMENTED, mask, mean_probability=0.8, quality=0.9),))
    assert repair_result(result, MaskOptions()) is result
    (target,) = repair_result(result, MaskOptions(min_component_share=0.05)).targets
    assert not target.mask[2, 50] and target.mask[30, 30] and not target.mask[12, 12]
    assert (target.mean_probability, target.quality) == (0.8, 0.9)
    assert not repaired(np.zeros((4, 4), bool), 0.5).any()
    with pytest.raises(ConfigurationError, match="must lie between"):
        MaskOptions(min_component_share=1.5)
