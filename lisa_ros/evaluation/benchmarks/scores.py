"""Rows of an evaluation -> the numbers of its report."""

import math
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path

import numpy as np

from lisa_ros.evaluation.benchmarks.rows import QueryRow, RowLog
from lisa_ros.evaluation.intervals import ratio_intervals
from lisa_ros.evaluation.metrics import SegmentationMetrics


def summarise(log: RowLog) -> dict:
    """Everything that `summary.json` holds; shares from 0 to 1, None for shares of nothing.

    benchmark, source, samples, model, weights, mode, max_new_tokens: what was asked (see `EvaluationIdentity`).
    overall, short, long, by_kind: scores (see `scores`); long are whole sentences, short are phrases.
    bad_samples: key -> why a sample could not be read; they are in no score.
    """
    rows, kinds = log.rows, sorted({row.kind for row in log.rows})
    return vars(log.identity) | {
        "overall": scores(rows),
        "short": scores([row for row in rows if not row.sentence]),
        "long": scores([row for row in rows if row.sentence]),
        "by_kind": {kind: scores([row for row in rows if row.kind == kind]) for kind in kinds if kind},
        "bad_samples": log.bad,
    }


def scores(rows: Sequence[QueryRow], groups: Sequence[Hashable] | None = None) -> dict:
    """Scores of some rows; NAME_ci: 95% interval of NAME over images, or over these groups of the rows.

    n: queries; images. giou, ciou: as LISA counts them. precision_at: share of present targets with at least that IoU.
    n_acc: absent targets refused; t_acc: present targets not refused; see_accuracy: queries right about presence.
    empty: present targets that got no pixel. format_failures: queries without an answer that can be read as one: no
    mask token where there is a target, the token limit reached, or the query could not be asked.
    seconds_p50, seconds_p95: of an answer, without encoding the image.
    """
    total = SegmentationMetrics()
    for row in rows:
        total.add_overlap(row.overlap)
    present = [row for row in rows if row.present]
    seconds = [row.seconds for row in rows]
    numbers = {
        "n": total.queries,
        "images": len({row.key for row in rows}),
        "giou": total.giou,
        "ciou": total.ciou,
        "precision_at": total.precision_at,
        "n_acc": total.n_acc,
        "t_acc": total.t_acc,
        "see_accuracy": total.see_accuracy,
        "empty": _share(present, lambda row: not row.found),
        "format_failures": _share(rows, _unreadable),
        "seconds_p50": _quantile(seconds, 0.5),
        "seconds_p95": _quantile(seconds, 0.95),
    }
    return {name: _plain(value) for name, value in (numbers | _intervals(rows, groups, total.precision_at)).items()}


def _intervals(rows: Sequence[QueryRow], groups: Sequence[Hashable] | None, thresholds: Sequence[float]) -> dict:
    """The ratio behind each score is resampled."""
    overlaps = [row.overlap for row in rows]
    one = [1] * len(rows)
    present = [o.present for o in overlaps]
    ratios = {
        "giou": ([o.iou for o in overlaps], one),
        "ciou": ([o.intersection for o in overlaps], [o.union for o in overlaps]),
        "n_acc": ([not o.present and not o.found for o in overlaps], [not here for here in present]),
        "t_acc": ([o.present and o.found for o in overlaps], present),
        "see_accuracy": ([o.present == o.found for o in overlaps], one),
    }
    precise = {t: ([o.present and o.exact_iou >= t for o in overlaps], present) for t in thresholds}
    found = ratio_intervals([row.key for row in rows] if groups is None else groups, ratios | precise)
    named = {f"{name}_ci": found[name] for name in ratios}
    return named | {"precision_at_ci": {t: found[t] for t in thresholds}}


def _unreadable(row: QueryRow) -> bool:
    return row.truncated or bool(row.error) or (row.present and not row.masks)


def _share(rows: Sequence[QueryRow], condition: Callable[[QueryRow], bool]) -> float:
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


def chosen_examples(rows: Sequence[QueryRow], count: int = 3) -> dict[str, list[QueryRow]]:
    """Queries for pictures: the worst, median and best ones whose target is there, and masks of absent targets."""
    present = (row for row in rows if row.present)
    ranked = sorted(present, key=lambda row: (row.iou, row.turn, row.key))  # turn first: ties show different images
    invented = [row for row in rows if not row.present and row.found][:count]
    middle = (len(ranked) - count) // 2
    chosen = {"worst": ranked[:count], "median": ranked[middle : middle + count], "best": ranked[-count:][::-1]}
    if len(ranked) <= 3 * count:
        chosen = {"all, from worst to best": ranked}
    return chosen | ({"masks of what is not there": invented} if invented else {})


def already_seen(model: str, benchmark: str, split: str) -> str | None:
    """A warning if a published checkpoint is known to have been trained on what it is asked, else None."""
    name = Path(model.split(" ")[0]).name.lower()
    if benchmark == "reasonseg" and split in ("train", "val") and name.startswith("lisa-") and "-v1" in name:
        return (
            f"{model} was trained on ReasonSeg train and val: scores on {split} are contaminated; "
            "use the test split, or a v0 checkpoint"
        )
    return None
