"""Simulated streams of which it is known what was lost."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lisa_ros.nodes.perception.frames.missed_frames import MissedFrames

pytestmark = pytest.mark.unit
SECOND = 1_000_000_000
MILLISECOND = 1_000_000
PERIOD = SECOND // 30
SEEDS = st.integers(0, 2**32 - 1)


def told(stamps) -> int:
    missed = MissedFrames()
    return sum(missed.note(int(stamp)) for stamp in stamps)


def camera(count, rate=30.0, jitter=0.0, seed=0):
    """Stamps of a camera in ns, each up to `jitter` s early or late."""
    stamps = SECOND + np.arange(count) * SECOND / rate
    return stamps + np.random.default_rng(seed).uniform(-jitter, jitter, count) * SECOND


@settings(max_examples=40)
@given(SEEDS, st.sampled_from([15.0, 30.0, 60.0]), st.floats(0, 0.25))
def test_jitter_is_no_loss(seed, rate, jitter):
    assert told(camera(300, rate, jitter / rate, seed)) == 0


@settings(max_examples=40)
@given(SEEDS, st.floats(0, 0.15), st.lists(st.tuples(st.integers(20, 270), st.integers(1, 3)), max_size=5))
def test_lost_frames_are_counted_whatever_the_jitter(seed, jitter, gaps):
    lost = {start + n for start, length in gaps for n in range(length)}
    stamps = np.delete(camera(300, 30.0, jitter / 30, seed), sorted(lost))
    assert told(stamps) == len(lost)


@settings(max_examples=20)
@given(SEEDS, st.floats(0.05, 0.3))
def test_many_losses_are_counted_nearly_all(seed, share):
    chance = np.random.default_rng(seed)
    kept = chance.random(1000) >= share
    kept[:12] = kept[-4:] = True
    lost = 1000 - kept.sum()
    assert 0.8 * lost <= told(camera(1000, 30.0, 0.003, seed)[kept]) <= 1.05 * lost


def test_a_late_frame_and_a_punctual_one_are_no_loss():
    stamps = camera(60)
    stamps[[20, 33, 34, 50]] += 0.6 * PERIOD
    assert told(stamps) == 0


@settings(max_examples=20)
@given(SEEDS, st.sampled_from([(30, 15), (30, 5), (15, 30), (30, 29), (5, 30), (30, 10)]))
def test_another_rate_is_no_loss(seed, rates):
    before = camera(200, rates[0], 0.003, seed)
    after = before[-1] - SECOND + SECOND / rates[1] + camera(200, rates[1], 0.003, seed + 1)
    assert told([*before, *after]) <= 1


@settings(max_examples=20)
@given(SEEDS, st.floats(0, 0.15))
def test_a_camera_whose_clock_wanders_loses_nothing(seed, wander):
    steps = PERIOD * (1 + np.random.default_rng(seed).uniform(-wander, wander, 500))
    assert told(SECOND + np.cumsum(steps)) == 0


@pytest.mark.parametrize(("pause", "lost"), [(1.6, 0), (2.0, 1), (2.5, 1), (4.0, 3), (301.0, 300)])
def test_a_pause_counts_the_whole_periods_in_it(pause, lost):
    stamps = camera(60)
    stamps[30:] += (pause - 1) * PERIOD
    assert told(stamps) == lost


def test_overtaken_and_repeated_frames_are_no_loss():
    stamps = camera(80)
    stamps[[30, 31]] = stamps[[31, 30]]
    assert told(np.insert(stamps, [50, 50, 60], stamps[[50, 50, 59]])) == 0


def test_a_loss_is_told_when_the_stream_has_gone_on():
    missed = MissedFrames()
    stamps = camera(60)
    assert sum(missed.note(int(stamp)) for stamp in np.delete(stamps[:41], 40)) == 0
    assert [missed.note(int(stamp)) for stamp in stamps[42:46]] == [0, 0, 0, 2]
