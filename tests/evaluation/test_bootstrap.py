"""Intervals: what they enclose, and that they know which queries belong together."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lisa_ros.evaluation import intervals as bootstrap
from lisa_ros.evaluation.intervals import ratio_intervals

pytestmark = pytest.mark.unit


def interval(groups, numerators, denominators):
    return ratio_intervals(list(groups), {"score": (numerators, denominators)})["score"]


@settings(max_examples=30)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=40))
def test_interval_encloses_the_mean_and_stays_within_0_and_1(values):
    low, high = interval(range(len(values)), values, [1] * len(values))
    assert 0 <= low <= np.mean(values) + 1e-9 and np.mean(values) - 1e-9 <= high <= 1 and low < high


def wilson(hits, count, z=1.959964):
    """As textbooks have it."""
    share, square = hits / count, z * z / count
    half = z * math.sqrt(share * (1 - share) / count + square / (4 * count))
    return (share + square / 2 - half) / (1 + square), (share + square / 2 + half) / (1 + square)


@pytest.mark.parametrize(("hits", "count"), [(0, 20), (20, 20), (0, 200), (200, 200), (1, 200), (100, 200), (190, 200)])
def test_shares_have_wilsons_interval(hits, count):
    """Also those of 0 and 100%."""
    found = interval(range(count), [1] * hits + [0] * (count - hits), [1] * count)
    assert found == pytest.approx(wilson(hits, count), abs=0.02 if count == 20 else 2e-3)
    assert found.high - found.low > 0.9 * (wilson(hits, count)[1] - wilson(hits, count)[0])


def share_of(probability):
    def draw(rng, count):
        return (rng.random(count) < probability).astype(float), np.ones(count), probability

    return draw


def giou(rng, count):
    """A third of the masks miss."""
    values = np.where(rng.random(count) < 1 / 3, 0, rng.beta(8, 2, count))
    return values, np.ones(count), 2 / 3 * 0.8


def ciou(rng, count):
    """Objects of sizes that differ a hundredfold, the larger ones found better."""
    size = rng.normal(0, 1, count)
    union = np.exp(size)
    better = rng.random(count) < 1 / (1 + np.exp(-size))
    return union * np.where(better, 0.9, 0.3), union, 0.3 + 0.6 * _BETTER


# Of the union, the share of objects that are found better: the mean of a logistic function under a shifted normal.
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(60)
_BETTER = float((_WEIGHTS / (1 + np.exp(-(_NODES + 1)))).sum() / _WEIGHTS.sum())


@pytest.mark.parametrize(
    "draw", [*map(share_of, (0.05, 0.3, 0.5, 0.8, 0.97)), giou, ciou],
    ids=["5%", "30%", "50%", "80%", "97%", "gIoU", "cIoU"],
)  # fmt: skip
def test_intervals_of_200_images_cover_the_truth_about_95_times_in_100(draw, monkeypatch):
    monkeypatch.setattr(bootstrap, "RESAMPLES", 250)
    rng, count = np.random.default_rng(11), 1000 if draw is not ciou else 400
    hits = 0
    for _ in range(count):
        above, below, truth = draw(rng, 200)
        low, high = interval(range(200), above, below)
        hits += low <= truth <= high
    assert 0.92 <= hits / count <= 0.98


def test_several_questions_about_an_image_are_less_evidence_than_as_many_images():
    """Coverage with four questions an image that are answered nearly alike."""
    rng, hits = np.random.default_rng(5), 0
    for _ in range(600):
        easy = rng.beta(0.5, 0.5, 100)
        right = rng.random((100, 4)) < easy[:, None]
        low, high = interval(np.repeat(np.arange(100), 4), right.ravel().astype(float), np.ones(400))
        hits += low <= 0.5 <= high
    assert 0.92 <= hits / 600 <= 0.98


def test_a_ratio_of_few_images_has_no_interval():
    rng = np.random.default_rng(1)
    union = rng.random(bootstrap.FEWEST) + 1
    assert all(map(math.isnan, interval(range(len(union) - 1), union[1:] / 3, union[1:])))
    low, high = interval(range(len(union)), union * rng.random(len(union)), union)
    assert 0 < low < high < 1
    low, high = interval(range(len(union)), union, union)
    assert 0.8 < low < high == 1  # all right in all of them


def test_queries_about_one_image_are_no_independent_evidence():
    rng = np.random.default_rng(2)
    values = rng.random(20)
    alone = interval(range(20), values, np.ones(20))
    many = interval(np.repeat(np.arange(20), 50), np.repeat(values, 50), np.ones(1000))
    assert many == pytest.approx(alone)
    pretending = interval(range(1000), np.repeat(values, 50), np.ones(1000))
    assert pretending.high - pretending.low < 0.5 * (alone.high - alone.low)


def test_scores_are_resampled_together_as_they_would_be_alone():
    rng = np.random.default_rng(3)
    ratios = {"a": (rng.random(9), np.ones(9)), "b": (rng.random(9), rng.random(9))}
    together = ratio_intervals(list("aabbccdde"), ratios)
    assert together == {name: interval("aabbccdde", *pair) for name, pair in ratios.items()}


def test_nothing_has_no_interval():
    assert all(map(math.isnan, interval([], [], [])))
    assert all(map(math.isnan, interval(["a"], [0], [0])))


def test_one_image_has_no_interval():
    """However many questions are about it: how images vary cannot be known, and a width of 0 would say that it is."""
    assert all(map(math.isnan, interval(["a"] * 9, [0.5] * 9, [1] * 9)))
    assert all(map(math.isnan, interval(range(10), [1] + [0] * 9, [1] + [0] * 9)))  # as one absent target in ten images


def test_only_images_with_a_case_count():
    """Two images in ten have an absent target; both were refused."""
    assert interval(range(10), [1, 1] + [0] * 8, [1, 1] + [0] * 8) == interval(range(2), [1, 1], [1, 1])
    low, high = interval(range(2), [1, 1], [1, 1])
    assert low < 0.3 and high == 1
