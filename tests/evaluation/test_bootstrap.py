"""Intervals: what they enclose, and that they know which queries belong together."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lisa_ros.evaluation.bootstrap import ratio_intervals

pytestmark = pytest.mark.unit


def interval(groups, numerators, denominators):
    return ratio_intervals(list(groups), {"score": (numerators, denominators)})["score"]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=40))
def test_interval_lies_between_the_extremes(values):
    low, high = interval(range(len(values)), values, [1] * len(values))
    assert min(values) - 1e-9 <= low <= high <= max(values) + 1e-9


def test_interval_covers_the_mean_about_95_times_in_100():
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(60):
        values = rng.random(60)
        low, high = interval(range(60), values, np.ones(60))
        hits += low <= 0.5 <= high
    assert 51 <= hits <= 60


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


def test_draws_without_a_case_do_not_count():
    """Two images in ten have an absent target: many resamples have none, and say nothing about refusals."""
    assert interval(range(10), [1, 1] + [0] * 8, [1, 1] + [0] * 8) == (1, 1)
