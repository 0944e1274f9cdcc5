"""How far a score may be off by chance: bootstrap intervals over images."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

RESAMPLES = 1000
CONFIDENCE = 0.95
_SEED = 0  # the same rows give the same interval


class Interval(NamedTuple):
    """Bounds of a 95% confidence interval, NaN where there is nothing to resample."""

    low: float
    high: float


def ratio_interval(groups: Sequence[object], numerators: Sequence[float], denominators: Sequence[float]) -> Interval:
    """Interval of sum(numerators) / sum(denominators) over queries, resampled by group.

    gIoU: IoU over 1; cIoU: intersection over union. groups: what each query belongs to, its image: queries about one
    image are not independent, so that images are drawn, not queries.
    """
    _, group = np.unique(np.asarray([str(name) for name in groups]), return_inverse=True)
    if not len(group):
        return Interval(float("nan"), float("nan"))
    above = np.bincount(group, np.asarray(numerators, float))
    below = np.bincount(group, np.asarray(denominators, float))
    rng = np.random.default_rng(_SEED)
    scores = np.empty(RESAMPLES)
    for i in range(RESAMPLES):
        drawn = np.bincount(rng.integers(len(above), size=len(above)), minlength=len(above))
        total = drawn @ below
        scores[i] = (drawn @ above) / total if total else np.nan
    tail = (1 - CONFIDENCE) / 2
    if np.isnan(scores).all():
        return Interval(float("nan"), float("nan"))
    low, high = np.nanquantile(scores, (tail, 1 - tail))
    return Interval(float(low), float(high))
