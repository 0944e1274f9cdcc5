"""95% confidence intervals of scores, with queries about one image treated as dependent.

Means of numbers from 0 to 1, as shares and gIoU: Wilson's interval, of as many independent observations as the images
vary like. It has a width where all images are alike: that none of twenty failed does not show that none ever fails.
Ratios of sums, as cIoU: a studentised bootstrap over images on the scale of log-odds, which keeps its coverage for few
images better than percentiles or BCa where a few large objects make up most of the sum.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

RESAMPLES = 1000
CONFIDENCE = 0.95
FEWEST = 20  # images below which a ratio of sums gets no interval: it would miss the truth too often
_SEED = 0  # the same rows give the same interval
_ALIKE = 1e-3  # standard deviation below which the variation between images is not known
_NORMAL = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)


class Interval(NamedTuple):
    """Bounds of a 95% confidence interval; NaN if there are too few images to estimate it."""

    low: float
    high: float


_UNKNOWN = Interval(float("nan"), float("nan"))


def ratio_intervals(
    groups: Sequence[Hashable], ratios: Mapping[str, tuple[Sequence[float], Sequence[float]]]
) -> dict[str, Interval]:
    """Intervals of sum(numerators) / sum(denominators) over queries, for each name in ratios.

    gIoU: IoU over 1; cIoU: intersection over union; a share of some queries: hit over whether it is one of them.
    groups: what each query belongs to, its image: queries about one image are not independent. Unknown for a single
    group, and for a ratio of sums of fewer than FEWEST.
    """
    numbers = {name: number for number, name in enumerate(dict.fromkeys(groups))}
    group = np.array([numbers[name] for name in groups], int)
    return {name: _interval(group, *(np.asarray(part, float) for part in pair)) for name, pair in ratios.items()}


def _interval(group: np.ndarray, above: np.ndarray, below: np.ndarray) -> Interval:
    is_mean = bool(np.isin(below, (0, 1)).all() and ((above >= 0) & (above <= below)).all())
    a, b = (np.bincount(group, part) for part in (above, below))
    a, b = a[b > 0], b[b > 0]
    if len(a) < (2 if is_mean else FEWEST):
        return _UNKNOWN
    ratio = a.sum() / b.sum()
    variance = _variance(a, b)
    alike = variance * len(a) < _ALIKE**2
    if is_mean or (alike and 0 <= ratio <= 1):
        observations = len(a) if alike else ratio * (1 - ratio) / variance
        return _wilson(ratio, observations, _student(len(a) - 1))
    return _studentised(a, b)


def _variance(a: np.ndarray, b: np.ndarray) -> float:
    """Of the ratio, by how the groups' sums vary around it."""
    count, total = len(a), b.sum()
    return float(count / (count - 1) * ((a - a.sum() / total * b) ** 2).sum() / total**2)


def _wilson(share: float, count: float, quantile: float) -> Interval:
    square = quantile**2 / count
    centre = (share + square / 2) / (1 + square)
    half = math.sqrt(quantile**2 * share * (1 - share) / count + square**2 / 4) / (1 + square)
    return Interval(max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half)))


def _student(freedom: int) -> float:
    """Student's t quantile, by Cornish and Fisher's expansion around the normal one; large for very few groups."""
    z = _NORMAL
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + sum(term / freedom**power for power, term in enumerate(terms, start=1))


def _studentised(a: np.ndarray, b: np.ndarray) -> Interval:
    """Bootstrap-t: quantiles of how many standard errors resampled ratios lie from the ratio."""
    ratio = a.sum() / b.sum()
    bounded = bool(0 < ratio < 1 and ((a >= 0) & (a <= b)).all())
    place, error = _on_scale(ratio, math.sqrt(_variance(a, b)), bounded)
    rng = np.random.default_rng(_SEED)
    steps = np.empty(RESAMPLES)
    for i in range(RESAMPLES):
        drawn = rng.integers(len(a), size=len(a))
        other = a[drawn].sum() / b[drawn].sum()
        there, its_error = _on_scale(other, math.sqrt(_variance(a[drawn], b[drawn])), bounded)
        steps[i] = (there - place) / its_error if its_error > 0 else np.nan
    tail = (1 - CONFIDENCE) / 2
    high, low = np.nanquantile(steps, (tail, 1 - tail))
    bounds = place - low * error, place - high * error
    return Interval(*(float(1 / (1 + math.exp(-bound))) if bounded else float(bound) for bound in bounds))


def _on_scale(ratio: float, error: float, bounded: bool) -> tuple[float, float]:
    """A ratio and its standard error as log-odds where it is bounded by 0 and 1."""
    if not bounded:
        return ratio, error
    inside = min(max(ratio, 1e-9), 1 - 1e-9)
    return math.log(inside / (1 - inside)), error / (inside * (1 - inside))
