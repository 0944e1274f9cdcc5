"""Scores of chosen candidates and of polygons against ELISA's official code."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lisa_ros.evaluation.candidates.choices import (
    ChoiceScores,
    pool_with_truth,
    random_choice,
    right_candidates,
    score_choice,
)
from lisa_ros.evaluation.candidates.polygons import contours_of, polygon_overlap
from lisa_ros.geometry.proposals import Proposals

pytestmark = pytest.mark.unit


def flat(shapes):
    return [contour for shape in shapes for contour in shape]


def same_overlap(found, expected):
    for value, key in ((found.intersection, "intersection"), (found.union, "union")):
        assert value == pytest.approx(expected[key], rel=1e-9, abs=1e-6)
    assert found.iou == pytest.approx(expected["IoU"], abs=1e-6)
    assert found.generalized_iou == pytest.approx(expected["gIoU"], abs=1e-6)


def test_parity_of_candidate_scores(golden):
    recorded = golden.json("metrics")
    scores, guesses = [], []
    for case in recorded["candidate_prf"]:
        pool = case["n_gt"] + case["n_sam"]
        scores.append(score_choice([n - 1 for n in case["selected_1based"]], range(case["n_gt"]), pool))
        guesses.append(random_choice(case["n_gt"], pool))
        for name in ("accuracy", "precision", "recall", "f1"):
            assert getattr(scores[-1], name) == pytest.approx(case[name]), case["name"]
            assert getattr(guesses[-1], name) == pytest.approx(case[f"rand_{name}"]), case["name"]
    for name in ("accuracy", "precision", "recall", "f1"):
        mean = recorded["candidate_prf_mean"]
        assert getattr(ChoiceScores.mean(scores), name) == pytest.approx(mean[name])
        assert getattr(ChoiceScores.mean(guesses), name) == pytest.approx(mean[f"rand_{name}"])


def test_parity_of_polygon_overlap(golden):
    recorded, found = golden.json("metrics"), []
    for case in recorded["polygon_iou"]:
        found.append(polygon_overlap(flat(case["gt_shapes"]), flat(case["pred_shapes"])))
        same_overlap(found[-1], case)
    same_aggregate(found, recorded["polygon_aggregate"])


def same_aggregate(found, expected):
    assert sum(one.intersection for one in found) / sum(one.union for one in found) == pytest.approx(expected["cIoU"])
    assert np.mean([one.iou for one in found]) == pytest.approx(expected["mean_IoU"])
    assert np.mean([one.generalized_iou for one in found]) == pytest.approx(expected["mean_gIoU_generalised"])


def test_parity_of_the_pipelines_polygons(golden):
    recorded = golden.json("pipeline")
    alone, beside = [], []
    for case in recorded["cases"].values():
        masks = [np.array(Image.open(golden.directory / "golden" / n).convert("L")) > 0 for n in case["proposals"]]
        shapes = [contours_of(masks[index]) for index in case["chosen_tokens"]]
        assert shapes == case["pred_shapes"]
        alone.append(polygon_overlap(flat(case["gt_shapes"]), flat(shapes)))
        same_overlap(alone[-1], case["metrics"])
        pool = [contours_of(mask) for mask in masks] + case["gt_shapes"]
        both = case["with_gt_appended_after_sam"]
        beside.append(polygon_overlap(flat(case["gt_shapes"]), flat([pool[i] for i in both["chosen_tokens"]])))
        same_overlap(beside[-1], both["metrics"])
    same_aggregate(alone, recorded["aggregate_SAM"])
    same_aggregate(beside, recorded["aggregate_SAM+GT"])


@given(st.lists(st.tuples(*[st.integers(0, 30)] * 2, *[st.integers(1, 20)] * 2), min_size=1, max_size=6))
def test_rectangles_cover_what_their_pixels_cover(boxes):
    canvas = np.zeros((60, 60), bool)
    for x, y, width, height in boxes:
        canvas[y : y + height, x : x + width] = True
    contours = [[[x, y], [x + w, y], [x + w, y + h], [x, y + h]] for x, y, w, h in boxes]
    overlap = polygon_overlap(contours, contours[:1])
    assert overlap.union == pytest.approx(canvas.sum())
    assert overlap.intersection == pytest.approx(boxes[0][2] * boxes[0][3])


@given(st.lists(st.tuples(*[st.integers(0, 20)] * 2), min_size=3, max_size=7))
def test_a_polygon_is_all_of_itself_or_nothing(points):
    overlap = polygon_overlap([points], [points])
    assert overlap.intersection == pytest.approx(overlap.union)
    assert overlap.iou in (0.0, pytest.approx(1.0)) and -1 <= overlap.generalized_iou <= 1 + 1e-9


def test_the_pool_with_truth_has_no_copies_of_it():
    truth = np.zeros((10, 10), bool)
    truth[:5] = True
    other = ~truth
    pool, right = pool_with_truth(Proposals.from_masks([other, truth], 10, 10), [truth])
    assert right == [0] and np.array_equal(pool.masks, np.stack([truth, other]))
    assert right_candidates(pool, [truth]) == [0]
