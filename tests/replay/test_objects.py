"""Which objects a mask chooses, and precision, recall and F1 of the choice."""

from dataclasses import replace

import numpy as np
import pytest

from lisa_ros.evaluation.metrics import Choice, SegmentationMetrics
from lisa_ros.evaluation.scans.baselines import baselines
from lisa_ros.evaluation.scans.figures import candidate_figures, score_figures
from lisa_ros.evaluation.scans.frame_scores import choice_of
from lisa_ros.evaluation.scans.rows import ReplayAnswer
from lisa_ros.evaluation.scans.scan import Scan
from lisa_ros.evaluation.scans.scoring import Scorer
from lisa_ros.types import SEGMENTED, SegmentationResult, Target

pytestmark = pytest.mark.unit


@pytest.fixture
def instances():
    """Objects 0 (left, 40 columns), 1 (the next 40), 2 (a single pixel on the right), and unannotated pixels."""
    image = np.zeros((100, 100), np.uint8)
    image[:, :40], image[:, 40:80], image[0, 99] = 1, 2, 3
    return image


@pytest.mark.parametrize(
    ("columns", "object_ids", "expected"),
    [
        (slice(0, 40), {0}, Choice(1, 1, 1)),
        (slice(0, 20), {0}, Choice(1, 1, 1)),  # half of it
        (slice(0, 19), {0}, Choice(0, 0, 1)),
        (slice(0, 80), {0}, Choice(1, 2, 1)),
        (slice(40, 80), {0, 1}, Choice(1, 1, 2)),
        (slice(0, 100), {0}, Choice(1, 2, 1)),  # object 2 is too small to count as a wrong choice
        (slice(0, 100), {2}, Choice(1, 3, 1)),  # but not to be the right one
        (slice(80, 99), set(), Choice(0, 0, 0)),  # no object is there
        (slice(0, 40), {7}, Choice(0, 1, 0)),  # 7 is not in view
    ],
)
def test_a_mask_chooses_what_it_covers_by_half(instances, columns, object_ids, expected):
    mask = np.zeros((100, 100), bool)
    mask[:, columns] = True
    assert choice_of(mask, instances, object_ids) == expected


def test_no_mask_chooses_nothing(instances):
    assert choice_of(None, instances, {0}) == Choice(0, 0, 1)
    assert choice_of(None, instances, ()) == Choice(0, 0, 0)


@pytest.fixture
def scan(paths):
    with Scan(paths) as scan:
        yield scan


def scored(scan, mask_of, protocol="lockstep"):
    scorer = Scorer(protocol, scan)
    for case in scan.cases:
        mask = mask_of(case)
        targets = () if mask is None else (Target("", SEGMENTED, mask),)
        scorer.add(case, ReplayAnswer("OK", result=SegmentationResult("?", "", targets)))
    return scorer.rows


def test_the_truth_chooses_right_and_silence_chooses_wrong(scan):
    rows = scored(scan, lambda case: scan.truth(case.query, case.frame).mask)
    figures = candidate_figures(rows)
    assert (figures["n"], figures["precision"], figures["recall"], figures["f1"]) == (len(scan.cases), 1, 1, 1)
    low, high = figures["f1_ci"]
    assert low < 0.5 and high == 1  # of so few questions
    silent = candidate_figures([replace(row, status="NO_RESULT") for row in rows])
    assert (silent["precision"], silent["recall"], silent["f1"]) == (0, 0, 0)


def test_figures_are_those_of_the_accumulator(scan):
    """Everything: precision is the share of the objects that are meant, recall is 1 where anything is."""
    whole = baselines(scan)["whole image"]
    rows = scored(scan, lambda case: whole(case, np.zeros((144, 192, 3), np.uint8)))
    metrics = SegmentationMetrics()
    for row in rows:
        metrics.add_candidates(range(row.objects_chosen), range(row.objects_right))  # all that are right are chosen
    figures = candidate_figures(rows)
    assert (figures["precision"], figures["recall"], figures["f1"]) == pytest.approx(metrics.candidate_scores)
    assert 0 < figures["precision"] < 0.5 < figures["recall"] < 1


def test_one_question_has_figures_without_intervals(scan):
    """However many frames it is asked about: they show one scene, and the next question may fare otherwise."""
    rows = scored(scan, lambda case: scan.truth(case.query, case.frame).mask)
    figures = score_figures([row for row in rows if row.query_id == rows[0].query_id])
    assert figures["n"] == figures["images"] == 3
    assert figures["giou"] == pytest.approx(1, abs=1e-4) and figures["giou_ci"] == [None, None]
    assert figures["candidates"]["f1"] == 1 and figures["candidates"]["f1_ci"] == [None, None]


def test_intervals_are_as_wide_as_questions_differ(scan):
    """Two of three questions are answered, the same in each frame: intervals over frames would have no width."""
    rows = scored(scan, lambda case: None if case.query.kind == "category" else scan.truth(case.query, case.frame).mask)
    low, high = score_figures(rows)["giou_ci"]
    assert low < 0.4 and high > 0.9


def test_figures_of_nothing_are_no_numbers():
    assert candidate_figures([]) == {
        "n": 0, "precision": None, "recall": None, "f1": None,
        "precision_ci": [None, None], "recall_ci": [None, None], "f1_ci": [None, None],
    }  # fmt: skip
