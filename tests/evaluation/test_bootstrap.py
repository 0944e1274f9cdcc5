"""Intervals: what they enclose, and that they know which queries belong together."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lisa_ros.evaluation.bootstrap import ratio_interval

pytestmark = pytest.mark.unit


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_interval_lies_between_the_extremes(values):
    low, high = ratio_interval(range(len(values)), values, [1] * len(values))
    assert min(values) - 1e-9 <= low <= high <= max(values) + 1e-9


def test_interval_covers_the_mean_about_95_times_in_100():
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(100):
        values = rng.random(60)
        low, high = ratio_interval(range(60), values, np.ones(60))
        hits += low <= 0.5 <= high
    assert 88 <= hits <= 100


def test_queries_about_one_image_are_no_independent_evidence():
    rng = np.random.default_rng(2)
    values = rng.random(20)
    alone = ratio_interval(range(20), values, np.ones(20))
    many = ratio_interval(np.repeat(np.arange(20), 50), np.repeat(values, 50), np.ones(1000))
    assert many == pytest.approx(alone)
    pretending = ratio_interval(range(1000), np.repeat(values, 50), np.ones(1000))
    assert pretending.high - pretending.low < 0.5 * (alone.high - alone.low)


def test_nothing_has_no_interval():
    assert all(map(math.isnan, ratio_interval([], [], [])))
    assert all(map(math.isnan, ratio_interval(["a"], [0], [0])))
