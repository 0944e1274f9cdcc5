"""Rows of the protocols -> the numbers of summary.json."""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from lisa_ros.evaluation.benchmarks.scores import scores
from lisa_ros.evaluation.intervals import ratio_intervals
from lisa_ros.evaluation.scans.rows import ReplayRow

TRUTH, LOCKSTEP, OFFLINE, REALTIME = "truth", "lockstep", "offline", "realtime"


def score_figures(rows: Sequence[ReplayRow]) -> dict:
    """The `scores` of a benchmark with `candidates` (see `candidate_figures`), and both by_kind.

    Intervals are over questions: a recording shows one scene again and again, and frames add little information. With
    rows of several scenes they are over scenes: what is asked about one room is not independent either.
    """
    kinds = sorted({row.kind for row in rows})
    return _scores(rows) | {"by_kind": {kind: _scores([row for row in rows if row.kind == kind]) for kind in kinds}}


def _scores(rows: Sequence[ReplayRow]) -> dict:
    return scores([row.as_row() for row in rows], _groups(rows)) | {"candidates": candidate_figures(rows)}


def _groups(rows: Sequence[ReplayRow]) -> list[str]:
    """What the intervals resample together: the scene of each row, or its question where all are of one scene."""
    several = len({row.scene for row in rows}) > 1
    return [row.scene if several else row.query_id for row in rows]


def candidate_figures(rows: Sequence[ReplayRow]) -> dict:
    """precision, recall, f1 of the chosen objects: means over n answers; NAME_ci: as in `score_figures`."""
    known = [row for row in rows if row.choice is not None]
    names = ("precision", "recall", "f1")
    values = {name: [getattr(row.choice, name) for row in known] for name in names}
    found = ratio_intervals(_groups(known), {name: (values[name], [1] * len(known)) for name in names})
    intervals = {f"{name}_ci": [None if np.isnan(bound) else bound for bound in found[name]] for name in names}
    return {"n": len(known)} | {name: _mean(values[name]) for name in names} | intervals


def protocol_figures(rows: Sequence[ReplayRow]) -> dict:
    """Figures of one protocol.

    `score_figures`, and: statuses: how many of each. unanswered: questions without an answer; they count as IoU 0.
    seconds: quantiles from asking to the result. stages: of the node's stages. space: the cloud against the true
    points, see `space_figures`. stability: see `stability_figures`.
    """
    return {
        **score_figures(rows),
        "statuses": dict(Counter(row.status for row in rows)),
        "unanswered": sum(not row.answered for row in rows),
        "seconds": quantiles(row.seconds for row in rows if row.answered),
        "stages": stage_figures(rows),
        "space": space_figures(rows),
        "stability": stability_figures(rows),
    }


def stage_figures(rows: Sequence[ReplayRow]) -> dict:
    """Stage -> quantiles of its wall time, s."""
    stages = dict.fromkeys(stage for row in rows for stage in row.stages)
    return {stage: quantiles(row.stages[stage] for row in rows if stage in row.stages) for stage in stages}


def space_figures(rows: Sequence[ReplayRow]) -> dict:
    """n: answers with a cloud and true points; missing: present targets with an answer but without such a cloud.

    centroid_error: quantiles, m. precision_*, recall_*: means over n.
    """
    scored = [row for row in rows if row.centroid_error is not None]
    shares = ("precision_2cm", "recall_2cm", "precision_5cm", "recall_5cm")
    return {
        "n": len(scored),
        "missing": sum(row.present and row.answered for row in rows) - len(scored),
        "centroid_error": quantiles(row.centroid_error for row in scored),
        **{name: _mean(getattr(row, name) for row in scored) for name in shares},
    }


def stability_figures(rows: Sequence[ReplayRow]) -> dict:
    """Pairs of answers to one query, about a frame and the one that it was asked about before: over what both see.

    mean: IoU of the two answers; truth: of the two true masks. adjacent, adjacent_truth: the same over pairs of
    consecutive frames alone.
    """
    pairs = [row for row in rows if row.stability is not None]
    near = [row for row in pairs if row.step == 1]
    return {
        "pairs": len(pairs),
        "mean": _mean(row.stability for row in pairs),
        "truth": _mean(row.stability_truth for row in pairs),
        "adjacent_pairs": len(near),
        "adjacent": _mean(row.stability for row in near),
        "adjacent_truth": _mean(row.stability_truth for row in near),
    }


def quantiles(values: Iterable[float]) -> dict[str, float | None]:
    """p50 and p95; None for no values."""
    values = [value for value in values if value is not None]
    return {f"p{q}": round(float(np.percentile(values, q)), 4) if values else None for q in (50, 95)}


def _mean(values: Iterable[float | None]) -> float | None:
    values = [value for value in values if value is not None]
    return sum(values) / len(values) if values else None
