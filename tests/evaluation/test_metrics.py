import dataclasses
import json

import numpy as np
import pytest
from golden_variants import find_golden
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lisa_ros.evaluation.metrics import PRECISION_THRESHOLDS, SegmentationMetrics

pytestmark = pytest.mark.unit

masks = arrays(np.bool_, (6, 7))
truths = st.one_of(masks, arrays(np.uint8, (6, 7), elements=st.sampled_from([0, 1, 2, 255])))


@pytest.fixture(scope="module", params=["metric", "reasonseg", "refcoco"])
def case(request, golden_variants):
    """Per image (predictions (N, H, W) bool, truths (N, H, W)), and the official scores of them all."""
    name = request.param
    cases = []
    for folder in golden_variants:
        scores = json.loads((folder / "golden" / "validate.json").read_text())[name]
        arrays = np.load(folder / "golden" / "validate.npz")
        keys = ("pred_logits", "target") if name == "metric" else ("pred_masks", "gt_masks")
        count = len(scores["per_mask"] if name == "metric" else scores["samples"])
        images = [tuple(arrays[f"{name}/{index}/{key}"] for key in keys) for index in range(count)]
        cases.append((images, scores))
    return cases


@pytest.fixture(scope="module")
def golden_variants():
    """LISA's alone: other systems' scores have rules of their own."""
    found = [path for path in find_golden(None) if (path / "golden" / "validate.json").exists()]
    if not found:
        pytest.skip("no golden data of LISA's validation")
    return found


def score(images):
    metrics = SegmentationMetrics()
    for logits, truths in images:
        for logit, truth in zip(logits, truths, strict=True):
            metrics.add(logit > 0, truth.astype(np.uint8))
    return metrics


def test_scores_equal_the_official_validation(case):
    for images, expected in case:
        metrics = score(images)
        assert metrics.giou == pytest.approx(expected["giou"], abs=1e-6)
        assert metrics.ciou == pytest.approx(expected["ciou"], abs=1e-6)
        for image, alone in zip(images, expected.get("each_alone", ()), strict=False):
            metrics = score([image])
            assert (metrics.giou, metrics.ciou) == pytest.approx((alone["giou"], alone["ciou"]), abs=1e-6)


def test_pixels_equal_the_official_counts(golden_variants):
    for folder in golden_variants:
        expected = json.loads((folder / "golden" / "validate.json").read_text())["metric"]["per_mask"]
        arrays = np.load(folder / "golden" / "validate.npz")
        for index, image in enumerate(expected):
            logits, truths = arrays[f"metric/{index}/pred_logits"], arrays[f"metric/{index}/target"]
            for logit, truth, counts in zip(logits, truths, image, strict=True):
                metrics = SegmentationMetrics()
                metrics.add(logit > 0, truth.astype(np.uint8))
                assert (metrics.intersection, metrics.union) == (counts["intersection"][1], counts["union"][1])


def test_refusals_are_counted_apart():
    full, empty = np.ones((4, 4), bool), np.zeros((4, 4), bool)
    metrics = SegmentationMetrics()
    assert metrics.add(None, None) == metrics.add(empty, None) == metrics.add(None, empty) == 1
    assert metrics.add(full, None) == 0
    assert (metrics.n_acc, metrics.refused, metrics.absent) == (0.75, 3, 4)
    assert metrics.add(full, full) == pytest.approx(1, abs=1e-5)
    assert metrics.add(None, full) == metrics.add(empty, full) == 0
    assert metrics.t_acc == pytest.approx(1 / 3)
    assert (metrics.present, metrics.falsely_refused, metrics.queries) == (3, 2, 7)


def test_nothing_counted_has_no_score():
    metrics = SegmentationMetrics()
    scores = metrics.giou, metrics.ciou, metrics.n_acc, metrics.t_acc, metrics.see_accuracy
    assert all(np.isnan([*scores, *metrics.precision_at.values(), *metrics.candidate_scores]))


def test_precision_is_of_present_targets():
    """As gRefCOCO's evaluation counts it: a refused absent target has IoU 1, and is no precise mask."""
    truth = np.zeros((10, 10), bool)
    truth[:, :8] = True
    metrics = SegmentationMetrics()
    metrics.add(None, None)
    metrics.add(truth, truth)
    metrics.add(np.ones((10, 10), bool), truth)  # 80 of 100
    assert metrics.precision_at == {0.5: 1, 0.6: 1, 0.7: 1, 0.8: 1, 0.9: 0.5}
    assert metrics.see_accuracy == 1
    metrics.add(truth, None)
    assert metrics.see_accuracy == 0.75 and metrics.precision_at[0.5] == 1


@pytest.mark.parametrize("threshold", PRECISION_THRESHOLDS)
@pytest.mark.parametrize("size", [10, 30, 970])
def test_a_mask_exactly_at_a_threshold_reaches_it(threshold, size):
    """LISA's constant in the denominator belongs to gIoU; the referring sets' precision is of the plain IoU."""
    truth = np.ones((1, size), bool)
    at, below = truth.copy(), truth.copy()
    at[0, round(threshold * size) :] = False
    below[0, round(threshold * size) - 1 :] = False
    metrics = SegmentationMetrics()
    metrics.add(at, truth)
    metrics.add(below, truth)
    assert metrics.precision_at[threshold] == 0.5


def test_candidates_are_scored_query_by_query():
    metrics = SegmentationMetrics()
    metrics.add_candidates([1, 2], [2, 3, 4])
    assert metrics.candidate_scores == pytest.approx((1 / 2, 1 / 3, 2 / 5))
    metrics.add_candidates([], [])
    assert metrics.candidate_scores == pytest.approx((3 / 4, 2 / 3, 7 / 10))
    metrics.add_candidates([], [1])
    metrics.add_candidates([1], [])
    assert metrics.candidate_scores == pytest.approx((3 / 8, 1 / 3, 7 / 20))
    assert metrics.queries == 0


def test_sizes_must_agree():
    with pytest.raises(ValueError, match="same size"):
        SegmentationMetrics().add(np.ones((2, 3), bool), np.ones((3, 2), bool))


@given(st.lists(st.tuples(st.one_of(st.none(), masks), st.one_of(st.none(), truths)), max_size=8), st.integers(0, 8))
def test_merged_parts_equal_the_whole(pairs, cut):
    whole, first, second = SegmentationMetrics(), SegmentationMetrics(), SegmentationMetrics()
    for index, pair in enumerate(pairs):
        iou = whole.add(*pair)
        assert 0 <= iou <= 1
        (first if index < cut else second).add(*pair)
    other_order = dataclasses.replace(second)
    other_order.merge(first)
    first.merge(second)
    assert dataclasses.replace(other_order, iou_sum=0) == dataclasses.replace(first, iou_sum=0)
    assert first.iou_sum == pytest.approx(whole.iou_sum)
    first.iou_sum = whole.iou_sum
    assert first == whole


@given(masks, masks)
def test_none_means_empty(prediction, truth):
    empty = np.zeros_like(truth)
    for pair, same in [((prediction, None), (prediction, empty)), ((None, truth), (empty, truth))]:
        one, other = SegmentationMetrics(), SegmentationMetrics()
        one.add(*pair)
        other.add(*same)
        assert one == other
