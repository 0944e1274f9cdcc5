"""Masks of COCO annotations against what COCO's own API (pycocotools) gives."""

import json
from pathlib import Path

import numpy as np
import pytest

from lisa_ros.datasets.coco_masks import polygon_mask, run_length_mask, segmentation_mask
from lisa_ros.errors import DatasetError

CASES = json.loads((Path(__file__).parents[1] / "golden" / "coco_masks.json").read_text())
SQUARE = [1, 1, 4, 1, 4, 4, 1, 4]

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("case", CASES, ids=str)
def test_polygons_equal_pycocotools(case):
    height, width = case["size"]
    expected = run_length_mask({"size": case["size"], "counts": case["counts"]}, height, width)
    assert (polygon_mask(case["polygon"], height, width) == expected).all()


def test_run_lengths_go_down_the_columns():
    mask = run_length_mask({"size": [2, 3], "counts": [1, 2, 3]}, 2, 3)
    assert mask.tolist() == [[False, True, False], [True, False, False]]


def test_polygons_and_run_lengths_are_one_mask():
    mask = segmentation_mask([SQUARE, [2, 2, 6, 2, 6, 6, 2, 6], {"size": [8, 8], "counts": [63, 1]}], 8, 8)
    assert mask.sum() == 9 + 16 - 4 + 1


def test_two_corners_enclose_nothing():
    assert not segmentation_mask([[1, 2, 3, 4], []], 8, 8).any()


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ("mask", "not str"),
        ([[1, 2, 3]], "x, y, x, y"),
        ([[1, 2, 3, "x", 5, 6]], "numbers"),
        ([SQUARE[:-1] + [float("nan")]], "no number"),
        ([SQUARE[:-1] + [1e9]], "beyond"),
        ({"size": [4, 4], "counts": [64]}, r"of \[4, 4\]"),
        ({"size": [8, 8], "counts": [63]}, "sum 64"),
        ({"size": [8, 8], "counts": [70, -6]}, "sum 64"),
        ({"size": [8, 8], "counts": None}, "sum 64"),
        ({"size": [8, 8], "counts": "P"}, "middle"),
        ({"size": [8, 8], "counts": "\n"}, "character"),
    ],
    ids=str,
)
def test_damaged_segmentations_are_refused(segmentation, message):
    with pytest.raises(DatasetError, match=message):
        segmentation_mask(segmentation, 8, 8)


def test_mask_is_a_plain_array():
    assert segmentation_mask([SQUARE], 8, 8).dtype == np.bool_


def test_run_lengths_whose_sum_wraps_around_are_refused():
    huge = {"size": [8, 8], "counts": [1 << 62, 1 << 62, 1 << 62, (1 << 62) + 64]}
    with pytest.raises(DatasetError, match="counts from 0 with the sum 64"):
        segmentation_mask(huge, 8, 8)
