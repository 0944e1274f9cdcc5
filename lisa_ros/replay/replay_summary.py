"""summary.json of an evaluation by replay: the figures of each protocol, and why the evaluation counts as failed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from lisa_ros.evaluation.scans.figures import (
    LOCKSTEP,
    OFFLINE,
    REALTIME,
    TRUTH,
    protocol_figures,
    quantiles,
    score_figures,
)
from lisa_ros.evaluation.scans.rows import REFUSED, ReplayRow
from lisa_ros.evaluation.scans.scoring import read_mask
from lisa_ros.replay.realtime import RealtimeFacts


def summarise(options, scan, scorers, others, facts, ended) -> dict:
    """The content of summary.json without model and time.

    scorers: by protocol or baseline. others: the baselines.
    """
    rows = {name: scorer.rows for name, scorer in scorers.items()}
    different = differences(rows[LOCKSTEP], rows[OFFLINE], options.out / "masks")
    content = {
        "scene": scan.scene,
        "bag": str(options.paths.bag),
        "cases": len(scan.cases),
        "frames": len(scan.frames),
        "queries": len(scan.queries),
        "without_truth": scan.without_truth,
        "truth_giou": exact_giou(rows[TRUTH]),
        "pixel_equal": not different,
        "pixel_differences": different,
        **{name: protocol_figures(rows[name]) for name in (TRUTH, LOCKSTEP, OFFLINE)},
        REALTIME: realtime_figures(rows[REALTIME], facts),
        "baselines": {name: score_figures(rows[name]) for name in others},
    }
    found = problems(content, facts, ended)
    return {"passed": not found, "problems": found} | content


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
    """Whether both rejected the question, or gave equal answers; two missing answers are no agreement."""
    if row.status == other.status == REFUSED:
        return True
    return row.answered and (row.digest, row.answer) == (other.digest, other.answer)


def _different_pixels(row: ReplayRow, other: ReplayRow, directory: Path) -> int | None:
    masks = [read_mask(directory / each.protocol, each) for each in (row, other)]
    if masks[0] is None or masks[1] is None:
        return max((int(mask.sum()) for mask in masks if mask is not None), default=None)
    return int(np.count_nonzero(masks[0] != masks[1]))


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
