"""What came of asking one question in one frame, and how outcomes become scores."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from lisa_ros.evaluation.metrics import overlap_of
from lisa_ros.evaluation.rows import Row
from lisa_ros.evaluation.summary import scores
from lisa_ros.scannet.queries import SceneQuery
from lisa_ros.scannet.truth import FrameTruth

NO_RESULT = "NO_RESULT"  # beside the statuses of SegmentationResult.msg: nothing came back in time


@dataclass(frozen=True)
class Outcome:
    """One question in one frame.

    status: of the message, or NO_RESULT. digest: of the predicted mask, to compare runs to the pixel without keeping
    masks. image_age: s from the image's stamp to the result's arrival, None offline. stages: s of each stage of the
    node. cloud: what `cloud_scores` gave, {} where there was no cloud.
    """

    row: Row
    query_id: str
    frame: int
    status: str
    digest: str
    message: str = ""
    image_age: float | None = None
    stages: dict[str, float] = field(default_factory=dict)
    cloud: dict[str, float] = field(default_factory=dict)


def outcome_of(
    query: SceneQuery,
    truth: FrameTruth,
    mask: np.ndarray | None,
    *,
    status: str,
    answer: str = "",
    masks: int = 0,
    truncated: bool = False,
    seconds: float = 0.0,
    **more,
) -> Outcome:
    """Scores a predicted mask, (H, W) bool or None, against the truth of the frame; more: fields of Outcome."""
    overlap = overlap_of(mask, truth.labels)
    row = Row(
        key=f"{query.scene}/{truth.frame:06d}/{query.query_id}",
        turn=0,
        text=query.text,
        kind=query.kind,
        sentence=True,
        intersection=overlap.intersection,
        union=overlap.union,
        present=overlap.present,
        found=overlap.found,
        answer=answer,
        masks=masks,
        truncated=truncated,
        error="" if status != NO_RESULT else NO_RESULT,
        seconds=seconds,
    )
    return Outcome(row, query.query_id, truth.frame, status, digest_of(mask), **more)


def digest_of(mask: np.ndarray | None) -> str:
    """Equal for equal masks; a mask without a pixel and no mask are the same, for both say that nothing was found."""
    if mask is None or not mask.any():
        return "empty"
    return hashlib.sha256(repr(mask.shape).encode() + np.packbits(mask).tobytes()).hexdigest()


def summarise_outcomes(outcomes: Sequence[Outcome]) -> dict:
    """Scores of a protocol, as `evaluation.summary.scores`, by kind of question too, and how the results came.

    statuses: how often each. stability: see there. stages: p50 and p95 in s.
    image_age_p50, image_age_p95: s. cloud: means over the outcomes with a cloud.
    """
    rows = [outcome.row for outcome in outcomes]
    kinds = sorted({row.kind for row in rows})
    ages = [outcome.image_age for outcome in outcomes if outcome.image_age is not None]
    return {
        "overall": scores(rows),
        "by_kind": {kind: scores([row for row in rows if row.kind == kind]) for kind in kinds},
        "statuses": dict(sorted(Counter(outcome.status for outcome in outcomes).items())),
        "stability": stability(outcomes),
        "image_age_p50": _quantile(ages, 0.5),
        "image_age_p95": _quantile(ages, 0.95),
        "stages": _stages(outcomes),
        "cloud": _means([outcome.cloud for outcome in outcomes if outcome.cloud]),
    }


def stability(outcomes: Sequence[Outcome]) -> float | None:
    """How little a question's score changes from one asked frame to the next: 1 - mean |IoU difference|; None without.

    A model that finds the knife in every other frame scores 0, one that always or never finds it scores 1.
    """
    tracks = defaultdict(list)
    for outcome in sorted(outcomes, key=lambda o: o.frame):
        tracks[outcome.query_id].append(outcome.row.iou)
    changes = [abs(b - a) for ious in tracks.values() for a, b in pairwise(ious)]
    return 1 - float(np.mean(changes)) if changes else None


def unequal_pixels(one: Sequence[Outcome], other: Sequence[Outcome]) -> list[str]:
    """Keys of the questions whose masks differ between two runs, or that only one of them asked."""
    first, second = ({o.row.key: o.digest for o in outcomes} for outcomes in (one, other))
    return sorted(key for key in first.keys() | second.keys() if first.get(key) != second.get(key))


def _stages(outcomes: Sequence[Outcome]) -> dict[str, dict[str, float | None]]:
    times = defaultdict(list)
    for outcome in outcomes:
        for stage, seconds in outcome.stages.items():
            times[stage].append(seconds)
    return {stage: {"p50": _quantile(v, 0.5), "p95": _quantile(v, 0.95)} for stage, v in sorted(times.items())}


def _quantile(values: Sequence[float], q: float) -> float | None:
    return float(np.quantile(values, q)) if values else None


def _means(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]} if rows else {}
