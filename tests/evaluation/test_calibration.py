"""Masks judged against truth, and the calibration fitted to them."""

import numpy as np
import pytest
from torch import nn

from lisa_ros.cli import main
from lisa_ros.errors import ConfigurationError
from lisa_ros.evaluation.benchmarks.calibration import calibrate, draw_reliability, reliability, told_reliability
from lisa_ros.evaluation.benchmarks.judged_masks import JudgedMask, judged_masks
from lisa_ros.evaluation.benchmarks.rows import QueryRow
from lisa_ros.images import read_image
from lisa_ros.types import ABSENT, SEGMENTED, MaskFeatures, SegmentationResult, Target, TruthTarget, Turn

pytestmark = pytest.mark.unit
SHAPE = MaskFeatures(1.0, 0.9, 0.8)


def box(*rows):
    mask = np.zeros((8, 8), bool)
    for row in rows:
        mask[row] = True
    return mask


def answer(*masks):
    targets = [Target("x", SEGMENTED, mask, mean_probability=0.9, features=SHAPE) for mask in masks]
    return SegmentationResult("x", "", (*targets, Target("y", ABSENT, box())))


def asked(*masks):
    return Turn("x", tuple(TruthTarget("x", mask) for mask in masks), "")


@pytest.mark.parametrize(
    ("found", "wanted", "ious"),
    [
        ([box(0, 1)], [box(0, 1)], [1.0]),
        ([box(0, 1), box(4)], [box(0, 1), box(5)], [1.0, 0.0]),
        ([box(0, 1, 2, 3)], [box(0, 1), box(2, 3)], [1.0]),  # both in one mask, as LISA was trained to give them
        ([box(0)], [None], [0.0]),  # nothing there to be right about
        ([box(0, 1)], [box(1, 2)], [0.3333]),
        ([], [box(1)], []),
    ],
)
def test_a_mask_is_judged_by_the_target_that_it_is_most_of(found, wanted, ious):
    judged = judged_masks(answer(*found), asked(*wanted), None)
    assert [mask.iou for mask in judged] == pytest.approx(ious, abs=1e-4)
    assert all((mask.features, mask.quality) == (SHAPE, None) for mask in judged)


def test_ignored_pixels_do_not_count():
    (mask,) = judged_masks(answer(box(0, 1)), asked(box(0)), box(1))
    assert mask.iou == 1 and mask.right


def rows(rng, count):
    """Masks of which those that are sure and stable are more often right, as a known regression says."""
    found = []
    for number in range(count):
        sure, stable = rng.uniform(0.5, 0.99), rng.uniform(0.2, 0.99)
        odds = -1 + np.log(sure / (1 - sure)) + 0.8 * np.log(stable / (1 - stable))
        right = rng.random() < 1 / (1 + np.exp(-odds))
        mask = JudgedMask(sure, 1.0, rng.uniform(0.5, 1), stable, None, float(right))
        found.append(QueryRow(f"{number // 4:05d}", number % 4, "x", "k", False, 0, 1, True, True, judged=(mask,)))
    return found


def test_the_fit_finds_the_regression_that_made_the_truth_and_is_calibrated_on_other_images(tmp_path):
    network = nn.Linear(1, 1)
    found = calibrate(rows(np.random.default_rng(0), 6000), network, model="m", source="s")
    assert found.bias == pytest.approx(-1, abs=0.5)
    assert found.weights["logit_mean_probability"] == pytest.approx(1, abs=0.15)
    assert found.weights["logit_stability"] == pytest.approx(0.8, abs=0.15)
    assert found.held_out["ece"] < 0.03 and found.held_out["auroc"] > 0.75
    assert found.fitted_to == {"model": "m", "source": "s", "masks": 3000} and found.held_out["masks"] == 3000
    draw_reliability(found.held_out, tmp_path / "picture.png", "title")
    assert read_image(tmp_path / "picture.png").std() > 5


def test_reliability_by_hand():
    found = reliability([0.95, 0.95, 0.95, 0.95, 0.15, 0.15], [True, True, True, False, False, True])
    assert found["bins"] == [(2, 0.15, 0.5), (4, 0.95, 0.75)]
    assert found["ece"] == pytest.approx((2 * 0.35 + 4 * 0.2) / 6, abs=1e-4)
    assert found["auroc"] == pytest.approx((3 * (1 + 0.5) + (0.5 + 0)) / 8, abs=1e-4)
    assert reliability([1.0], [True])["auroc"] is None and told_reliability([]) is None


def test_too_few_masks_are_no_calibration():
    with pytest.raises(ConfigurationError, match="too few"):
        calibrate(rows(np.random.default_rng(0), 40), nn.Linear(1, 1))


def test_the_command_wants_a_place_for_the_judged_masks(capsys):
    assert main(["eval", "tabletop", "--calibrate", "quality_calibration.json"]) == 2
    assert "--out" in capsys.readouterr().err
