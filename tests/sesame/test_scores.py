"""Metrics equal those of SESAME's evaluation and of the validation in its training."""

import numpy as np
import pytest

from lisa_ros.evaluation.benchmarks.premises import PremiseMetrics
from lisa_ros.evaluation.metrics import SegmentationMetrics, overlap_of

pytestmark = pytest.mark.unit


def test_parity_of_cases_made_by_hand(variant):
    """Intersection, union, cIoU and see accuracy of SESAME's own evaluation."""
    total = PremiseMetrics()
    cases = variant.json("metrics")["run_eval_hand_made"]
    whole = cases.pop("ALL")
    for name, case in cases.items():
        metrics = PremiseMetrics()
        rows = zip(case["pred"], case["gt"], case["gt_exists"], case["pred_exists"], strict=True)
        for prediction, truth, exists, found in rows:
            overlap = overlap_of(np.array(prediction, bool), np.array(truth, np.uint8))
            assert overlap.found == found
            metrics.add(overlap, exists)
        assert (metrics.intersection, metrics.union) == (case["intersection"][1], case["union"][1]), name
        assert metrics.ciou == pytest.approx(case["cIoU"], abs=1e-6), name
        assert (metrics.seen, metrics.queries) == (case["see_correct"], case["see_total"]), name
        assert metrics.see_accuracy == pytest.approx(case["see_acc"], abs=1e-6), name
        total.merge(metrics)
    assert total.ciou == pytest.approx(whole["cIoU"], abs=1e-6)
    assert total.see_accuracy == pytest.approx(whole["see_acc"], abs=1e-6)


def test_parity_of_the_validation_in_training(variant):
    for name, case in variant.json("metrics")["validate_hand_made"].items():
        metrics = SegmentationMetrics()
        for image in case["rows"]:
            for logits, truth in zip(image["pred_logits"], image["gt"], strict=True):
                metrics.add(np.array(logits) > 0, np.array(truth, np.uint8))
        # before the sum over processes, which adds LISA's small constant to the count
        assert metrics.iou_sum / metrics.queries == pytest.approx(case["giou"], abs=1e-6), name
        assert metrics.ciou == pytest.approx(case["ciou"], abs=1e-6), name
