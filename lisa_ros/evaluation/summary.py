"""Rows of an evaluation -> the numbers of its report."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from lisa_ros.evaluation.bootstrap import ratio_interval
from lisa_ros.evaluation.metrics import SegmentationMetrics
from lisa_ros.evaluation.rows import Identity, Row


def summarise(identity: Identity, rows: Sequence[Row], bad: dict[str, str]) -> dict:
    """Everything that `summary.json` holds; shares from 0 to 1, None for shares of nothing.

    benchmark, source, model, mode: what was asked. overall, short, long, by_kind: scores (see `scores`); long are
    whole sentences, short are phrases. bad_samples: key -> why a sample could not be read; they are in no score.
    """
    kinds = sorted({row.kind for row in rows})
    return {
        "benchmark": identity.benchmark,
        "source": identity.source,
        "model": identity.model,
        "mode": identity.mode,
        "overall": scores(rows),
        "short": scores([row for row in rows if not row.sentence]),
        "long": scores([row for row in rows if row.sentence]),
        "by_kind": {kind: scores([row for row in rows if row.kind == kind]) for kind in kinds if kind},
        "bad_samples": bad,
    }


def scores(rows: Sequence[Row]) -> dict:
    """Scores of some rows.

    n: queries; images; giou, ciou with giou_ci and ciou_ci (95% bootstrap interval over images); precision_at: share of
    queries with at least that IoU; n_acc: absent targets refused; t_acc: present targets not refused; see_accuracy;
    empty: present targets that got no pixel; format_failures: queries without a finished answer (the token limit was
    reached, or the query could not be asked); seconds_p50, seconds_p95: of an answer.
    """
    total = SegmentationMetrics()
    for row in rows:
        total.add_overlap(row.overlap)
    keys, ious = [row.key for row in rows], [row.iou for row in rows]
    present = [row for row in rows if row.present]
    seconds = [row.seconds for row in rows]
    numbers = {
        "n": total.queries,
        "images": len(set(keys)),
        "giou": total.giou,
        "giou_ci": ratio_interval(keys, ious, [1] * len(rows)),
        "ciou": total.ciou,
        "ciou_ci": ratio_interval(keys, [row.intersection for row in rows], [row.union for row in rows]),
        "precision_at": total.precision_at,
        "n_acc": total.n_acc,
        "t_acc": total.t_acc,
        "see_accuracy": total.see_accuracy,
        "empty": _share(present, lambda row: not row.found),
        "format_failures": _share(rows, lambda row: row.truncated or bool(row.error)),
        "seconds_p50": _quantile(seconds, 0.5),
        "seconds_p95": _quantile(seconds, 0.95),
    }
    return {name: _plain(value) for name, value in numbers.items()}


def _share(rows: Sequence[Row], condition: Callable[[Row], bool]) -> float:
    return sum(condition(row) for row in rows) / len(rows) if rows else math.nan


def _quantile(values: Sequence[float], q: float) -> float:
    return float(np.quantile(values, q)) if values else math.nan


def _plain(value: object) -> object:
    """As JSON can hold it: NaN, which it cannot, becomes None."""
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def chosen_examples(rows: Sequence[Row], count: int = 3) -> dict[str, list[Row]]:
    """The worst, median and best queries whose target is there, for pictures."""
    ranked = sorted((row for row in rows if row.present), key=lambda row: (row.iou, row.key, row.turn))
    if len(ranked) <= 3 * count:
        return {"all, from worst to best": ranked}
    middle = (len(ranked) - count) // 2
    return {"worst": ranked[:count], "median": ranked[middle : middle + count], "best": ranked[-count:][::-1]}


def already_seen(model: str, benchmark: str, split: str) -> str | None:
    """A warning if a published checkpoint is known to have been trained on what it is asked, else None."""
    name = Path(model.split(" ")[0]).name.lower()
    if benchmark == "reasonseg" and split in ("train", "val") and name.startswith("lisa-") and "-v1" in name:
        return (
            f"{model} was trained on ReasonSeg train and val: scores on {split} are contaminated; "
            "use the test split, or a v0 checkpoint"
        )
    return None
