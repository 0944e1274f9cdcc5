"""How far a score may be off by chance: bootstrap intervals over images."""

from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

RESAMPLES = 1000
CONFIDENCE = 0.95
_SEED = 0  # the same rows give the same interval


class Interval(NamedTuple):
    """Bounds of a 95% confidence interval; NaN where one image or none counts, which does not tell how they vary."""

    low: float
    high: float


_UNKNOWN = Interval(float("nan"), float("nan"))


def ratio_intervals(
    groups: Sequence[Hashable], ratios: Mapping[str, tuple[Sequence[float], Sequence[float]]]
) -> dict[str, Interval]:
    """Intervals of sum(numerators) / sum(denominators) over queries, for each name in ratios, resampled by group.

    gIoU: IoU over 1; cIoU: intersection over union; a share of some queries: hit over whether it is one of them.
    groups: what each query belongs to, its image: queries about one image are not independent, so that images are
    drawn, not queries.
    """
    numbers = {name: number for number, name in enumerate(dict.fromkeys(groups))}
    if not numbers:
        return dict.fromkeys(ratios, _UNKNOWN)
    group = np.array([numbers[name] for name in groups])
    sums = [np.bincount(group, np.asarray(part, float)) for pair in ratios.values() for part in pair]
    columns = np.stack(sums, axis=1)
    rng = np.random.default_rng(_SEED)
    totals = np.empty((RESAMPLES, columns.shape[1]))
    for i in range(RESAMPLES):
        drawn = rng.integers(len(columns), size=len(columns))
        totals[i] = np.bincount(drawn, minlength=len(columns)) @ columns
    counting = np.count_nonzero(columns[:, 1::2], axis=0)
    return {
        name: _interval(totals[:, 2 * i], totals[:, 2 * i + 1]) if counting[i] > 1 else _UNKNOWN
        for i, name in enumerate(ratios)
    }


def _interval(above: np.ndarray, below: np.ndarray) -> Interval:
    drawn = below > 0
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(above[drawn] / below[drawn], (tail, 1 - tail))
    return Interval(float(low), float(high))
