"""Rows of the protocols -> the numbers of summary.json."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from lisa_ros.evaluation.bootstrap import ratio_intervals
from lisa_ros.evaluation.replay.realtime import RealtimeFacts
from lisa_ros.evaluation.replay.rows import REFUSED, ReplayRow
from lisa_ros.evaluation.replay.scoring import read_mask
from lisa_ros.evaluation.summary import scores

TRUTH, LOCKSTEP, OFFLINE, REALTIME = "truth", "lockstep", "offline", "realtime"


def score_figures(rows: Sequence[ReplayRow]) -> dict:
    """Those of `lisa_ros.evaluation.summary.scores` with `candidates` (see `candidate_figures`), and both by_kind.

    Intervals are over questions: a recording shows one scene again and again, and frames tell little that is new. With
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


def realtime_figures(rows: Sequence[ReplayRow], facts: RealtimeFacts) -> dict:
    """As `protocol_figures`, with `RealtimeFacts`, the image's age at the answer, and what was dropped.

    dropped: share of the played frames that did not reach the node; unseen: share that no answer is about.
    """
    played, received = facts.frames_played, facts.frames_received
    return {
        **protocol_figures(rows),
        **asdict(facts),
        "image_age": quantiles(row.age for row in rows if row.age is not None),
        "dropped": None if received is None or not played else max(0.0, 1 - received / played),
        "unseen": 1 - facts.frames_answered / played if played else None,
    }


def exact_giou(rows: Sequence[ReplayRow]) -> float:
    """Mean IoU without LISA's small constants: 1.0 exactly where every mask is right to the pixel."""
    return sum(row.iou for row in rows) / len(rows) if rows else 0.0


def differences(first: Sequence[ReplayRow], second: Sequence[ReplayRow], directory: Path) -> list[dict]:
    """Cases in which two protocols do not say the same, word for word and pixel for pixel.

    directory: with the masks of each protocol. pixels: how many of the union masks differ, None where one is missing.
    """
    others = {row.key: row for row in second}
    found = []
    for row in first:
        other = others.get(row.key)
        if other is not None and _same(row, other):
            continue
        pixels = None if other is None else _different_pixels(row, other, directory)
        found.append({"query_id": row.query_id, "frame": row.frame, "pixels": pixels,
                      "answers": [row.answer, other.answer if other else None],
                      "statuses": [row.status, other.status if other else None]})  # fmt: skip
    return found


def _same(row: ReplayRow, other: ReplayRow) -> bool:
    """A question that both refuse is treated alike; two silences show nothing."""
    if row.status == other.status == REFUSED:
        return True
    return row.answered and (row.digest, row.answer) == (other.digest, other.answer)


def _different_pixels(row: ReplayRow, other: ReplayRow, directory: Path) -> int | None:
    masks = [read_mask(directory / each.protocol, each) for each in (row, other)]
    if masks[0] is None or masks[1] is None:
        return max((int(mask.sum()) for mask in masks if mask is not None), default=None)
    return int(np.count_nonzero(masks[0] != masks[1]))


def quantiles(values: Iterable[float]) -> dict[str, float | None]:
    """p50 and p95; None for no values."""
    values = [value for value in values if value is not None]
    return {f"p{q}": round(float(np.percentile(values, q)), 4) if values else None for q in (50, 95)}


def problems(figures: Mapping, facts: RealtimeFacts, ended: Iterable[str]) -> list[str]:
    """Why the evaluation counts as failed; nothing where it does not."""
    found = [f"the perception node ended: {reason}" for reason in (*ended, facts.ended) if reason]
    if figures["truth_giou"] != 1.0:
        found.append(f"truth sent through ROS scores {figures['truth_giou']:.6f} and not 1: the path changes it")
    for name in (TRUTH, LOCKSTEP):  # in real time, what does not come is a result
        part = figures[name]
        if part["unanswered"]:
            found.append(f"{part['unanswered']} of {part['n']} questions of {name} got no answer: {part['statuses']}")
    if not figures["pixel_equal"]:
        found.append(f"lockstep and offline differ in {len(figures['pixel_differences'])} of {figures['cases']} cases")
    return found


def _mean(values: Iterable[float | None]) -> float | None:
    values = [value for value in values if value is not None]
    return sum(values) / len(values) if values else None
