"""The comparison of systems that choose: a table for each pool of proposals, as JSON, Markdown and a chart."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from lisa_ros.evaluation.files import write_json
from lisa_ros.evaluation.intervals import Interval, ratio_intervals
from lisa_ros.model.saving import write_atomically
from training.comparison.choosers.config import ChooserComparisonConfig
from training.comparison.choosers.pools import NOISY_TRUTH, POOLS
from training.comparison.choosers.score_system import ChoiceRow
from training.comparison.config import EvaluationConfig
from training.comparison.report import (
    CHART,
    JSON,
    MARKDOWN,
    draw_chart,
    heading,
    plain_config,
    plain_scores,
    score_tables,
)
from training.comparison.scores import Column, scores


def write_report(
    config: ChooserComparisonConfig, answers: Mapping[str, Sequence[ChoiceRow]], minutes: Mapping[str, float]
) -> None:
    """Writes JSON, Markdown and chart into run_dir.

    Args:
        config: Of the comparison.
        answers: name -> its rows.
        minutes: Core minutes of each one's training.
    """
    shown = columns(config.evaluation)
    found = {
        pool: scores({name: [row for row in rows if row.pool == pool] for name, rows in answers.items()}, shown)
        for pool in POOLS
    }
    words = {name: named_share(rows) for name, rows in answers.items()}
    data = {
        "config": {
            **plain_config(config),
            "systems": [asdict(one) for one in config.systems],
            "pools": vars(config.pools),
        },
        "core_minutes": dict(minutes),
        "scores": {pool: plain_scores(table) for pool, table in found.items()},
        "nearest_words": {
            name: {
                "named": named,
                "shown": shown_,
                "interval": [None if math.isnan(bound) else round(bound, 4) for bound in interval],
            }
            for name, (named, shown_, interval) in words.items()
            if shown_
        },
    }
    write_json(config.run_dir / JSON, data)
    lines = [heading(config), ""]
    for pool, table in found.items():
        lines += [f"Proposals: {pool}.", "", score_tables(shown, table, minutes)]
    lines += ["Masks whose nearest word is the name of what they show:", ""]
    for name, (named, shown_, interval) in words.items():
        if shown_:
            lines.append(
                f"* {name}: {named / shown_:.2f} ({interval.low:.2f} to {interval.high:.2f}), {named} of {shown_}"
            )
    text = "\n".join(lines) + "\n"
    write_atomically(config.run_dir / MARKDOWN, lambda path: path.write_text(text, encoding="utf-8"))
    write_atomically(config.run_dir / CHART, lambda path: draw_chart(path, shown, found[POOLS[1]]))


def columns(options: EvaluationConfig) -> tuple[Column, ...]:
    """All scores of one pool, in the order of the table."""

    def small(row: ChoiceRow) -> bool:
        return row.pixels < options.small_pixels

    def chose(row: ChoiceRow) -> bool:
        return row.f1 is not None

    return (
        Column("giou", "gIoU", lambda row: True, lambda row: row.iou),
        Column("giou_small", f"gIoU, below {options.small_pixels} px", small, lambda row: row.iou),
        Column("boundary_f", "boundary F", lambda row: True, lambda row: row.boundary_f),
        Column("best_single", "best single proposal", lambda row: True, lambda row: row.single),
        Column("best_union", "best union", lambda row: True, lambda row: row.union),
        Column("precision", "precision", chose, lambda row: row.precision),
        Column("recall", "recall", chose, lambda row: row.recall),
        Column("f1", "F1", chose, lambda row: row.f1),
        Column("seconds", "core seconds a phrase", lambda row: True, lambda row: row.core_seconds, False),
    )


def named_share(rows: Sequence[ChoiceRow]) -> tuple[int, int, Interval]:
    """Of the candidates from noisy truth that show an object: how many have its name as nearest word, and all."""
    counted = [row for row in rows if row.pool == NOISY_TRUTH and row.shown]
    named, shown = [row.words for row in counted], [row.shown for row in counted]
    interval = ratio_intervals([row.scene for row in counted], {"share": (named, shown)})["share"]
    return sum(named), sum(shown), interval
