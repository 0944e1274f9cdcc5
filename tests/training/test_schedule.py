"""The learning rate against the published formula, and its shape for any lengths."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.loop.optimizer import learning_rate_factor

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("update", "rate"),
    [(0, 0.0), (1, 0.0), (2, 3e-6), (51, 1.5e-4), (100, 2.97e-4), (101, 3e-4), (2551, 1.5e-4), (4999, 3e-4 * 2 / 4900)],
)
def test_the_published_run(update, rate):
    assert 3e-4 * learning_rate_factor(update, 100, 5000) == pytest.approx(rate)


@given(warmup=st.integers(0, 50), steps=st.integers(1, 200))
def test_it_rises_then_falls_and_stays_within_0_and_1(warmup, steps):
    factors = [learning_rate_factor(update, warmup, steps) for update in range(steps + 5)]
    peak = factors.index(max(factors))
    assert all(0 <= factor <= 1 for factor in factors)
    assert factors[: peak + 1] == sorted(factors[: peak + 1])
    assert factors[peak:] == sorted(factors[peak:], reverse=True)
