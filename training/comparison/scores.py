"""Scores of the styles with 95% intervals, and what each gains over the first one on the same phrases."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from lisa_ros.evaluation.intervals import Interval, ratio_intervals
from training.comparison.config import EvaluationConfig
from training.comparison.score_style import PhraseRow

RESAMPLES = 2000
_TAILS = (2.5, 97.5)


class SceneRow(Protocol):
    """What became of one phrase about a scene.

    Attributes:
        scene: Seed of its scene.
    """

    scene: int


@dataclass(frozen=True)
class Column:
    """A score: the mean of `value` over the rows that `counts` takes.

    Attributes:
        name: Key in the JSON.
        title: Heading of its column.
        counts: Which rows.
        value: Of a row.
        higher_is_better: Whether more of it is a gain.
    """

    name: str
    title: str
    counts: Callable[[Any], bool]
    value: Callable[[Any], float]
    higher_is_better: bool = True


@dataclass(frozen=True)
class Score:
    """One score of one style.

    Attributes:
        value: The mean; NaN without rows.
        interval: Of the mean, by `lisa_ros.evaluation.intervals`.
        gain: Mean minus that of the first style.
        gain_interval: Of the gain, by a bootstrap over scenes: both styles answered about the same ones.
        rows: Phrases that count.
    """

    value: float
    interval: Interval
    gain: float
    gain_interval: Interval
    rows: int


def columns(options: EvaluationConfig) -> tuple[Column, ...]:
    """All scores, in the order of the table."""

    def present(row: PhraseRow) -> bool:
        return row.present

    def small(row: PhraseRow) -> bool:
        return row.present and row.pixels < options.small_pixels

    def cluttered(row: PhraseRow) -> bool:
        return row.present and row.objects >= options.cluttered_objects

    return (
        Column("n_acc", "N-acc", lambda row: not row.present, lambda row: row.rejected),
        Column("t_acc", "T-acc", present, lambda row: not row.rejected),
        Column("see_accuracy", "See accuracy", lambda row: True, lambda row: row.found == row.present),
        Column("giou", "gIoU, present", present, lambda row: row.iou),
        Column("giou_small", f"gIoU, below {options.small_pixels} px", small, lambda row: row.iou),
        Column("giou_cluttered", f"gIoU, {options.cluttered_objects} objects or more", cluttered, lambda row: row.iou),
        Column("seconds", "core seconds a phrase", lambda row: True, lambda row: row.core_seconds, False),
    )


def scores(answers: Mapping[str, Sequence[SceneRow]], shown: Sequence[Column]) -> dict[str, dict[str, Score]]:
    """style -> name of the column -> score.

    Args:
        answers: Rows of each style, all about the same scenes; the first style is what the others are compared with.
        shown: The columns.
    """
    scenes = sorted({row.scene for rows in answers.values() for row in rows})
    draws = np.random.default_rng(0).integers(len(scenes), size=(RESAMPLES, len(scenes)))
    found: dict[str, dict[str, Score]] = {style: {} for style in answers}
    for column in shown:
        first: np.ndarray | None = None
        for style, rows in answers.items():
            sums = _sums(rows, scenes, column)
            resampled = _means(sums[draws].sum(1))
            first = resampled if first is None else first
            mean = float(_means(sums.sum(0)))
            base = found[next(iter(answers))].get(column.name)
            found[style][column.name] = Score(
                value=mean,
                interval=_interval_of_mean(rows, column),
                gain=mean - base.value if base else 0.0,
                gain_interval=_percentiles(resampled - first),
                rows=int(sums[:, 1].sum()),
            )
    return found


def _sums(rows: Sequence[SceneRow], scenes: Sequence[int], column: Column) -> np.ndarray:
    """(scenes, 2): of each scene the sum of the values and the number of rows that count."""
    index = {scene: number for number, scene in enumerate(scenes)}
    sums = np.zeros((len(scenes), 2))
    for row in rows:
        if column.counts(row):
            sums[index[row.scene]] += float(column.value(row)), 1
    return sums


def _means(sums: np.ndarray) -> np.ndarray:
    return np.divide(sums[..., 0], sums[..., 1], out=np.full(sums.shape[:-1], np.nan), where=sums[..., 1] > 0)


def _interval_of_mean(rows: Sequence[SceneRow], column: Column) -> Interval:
    """As all scores of the package have it: with a width where every phrase scores the same."""
    counted = [row for row in rows if column.counts(row)]
    values = [float(column.value(row)) for row in counted]
    return ratio_intervals([row.scene for row in counted], {column.name: (values, [1.0] * len(values))})[column.name]


def _percentiles(values: np.ndarray) -> Interval:
    known = values[~np.isnan(values)]
    return Interval(*map(float, np.percentile(known, _TAILS))) if len(known) else Interval(float("nan"), float("nan"))
