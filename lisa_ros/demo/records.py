"""What came of the demo's questions, scored against the simulator's truth."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from lisa_ros.demo.phrase_queries import PhraseQuery
from lisa_ros.evaluation.metrics import SegmentationMetrics
from lisa_ros.evaluation.scans.rows import ANSWERED, NO_RESULT
from lisa_ros.simulator import Scene, TabletopQuery
from lisa_ros.types import Target

IOU_WANTED = 0.4


@dataclass(frozen=True)
class PhraseOutcome:
    """What came of one phrase of a query.

    Attributes:
        phrase: What was asked for.
        present: Whether it is in the scene.
        found: Whether the result has a mask for it.
        probability: That it is there, as the result tells; None where it tells none.
        iou: Of its mask; 1 for an absent phrase without a mask.
        correction: What the result offers in its place, "" for nothing.
    """

    phrase: str
    present: bool
    found: bool
    probability: float | None
    iou: float
    correction: str

    def __str__(self) -> str:
        """The phrase, and whether it was found."""
        words = f"{self.phrase}: {'found' if self.found else 'not in the image'}"
        return f"{words} (perhaps {self.correction})" if self.correction else words


@dataclass(frozen=True)
class Record:
    """One question and its outcome.

    scene: what the segmented image shows. truth: (H, W) bool union of the targets, None where the target is absent.
    timed: a `lisa_ros.client.graph_client.TimedResult`, None where no result came; `message` then says why.
    iou: of the union of the masks; 1 for an absent target without a mask; 0 without a result.
    outcomes: of the phrases of a PhraseQuery; empty where it has no answer, or one to other phrases.
    """

    number: int
    via: str
    query: TabletopQuery
    scene: Scene
    truth: np.ndarray | None
    timed: object | None
    message: str
    iou: float
    outcomes: tuple[PhraseOutcome, ...] = ()

    @property
    def status(self) -> str:
        """The result's status; NO_RESULT where none came."""
        return self.timed.status if self.timed else NO_RESULT

    @property
    def answered(self) -> bool:
        """Whether the status is that of an answer, rather than of a failure."""
        return self.status in ANSWERED

    @property
    def name(self) -> str:
        """Stem of the files that belong to this question."""
        return f"{self.number:02d}_{self.query.kind}"


def score(number: int, via: str, query: TabletopQuery, scene: Scene, timed, message: str = "") -> Record:
    """A record; `scene` must be what the image of `timed` shows."""
    truth = scene.mask(*query.target_ids) if query.target_ids else None
    iou, outcomes = 0.0, ()
    if timed is not None and timed.status in ANSWERED:
        iou = _iou(timed.result.union_mask, truth)
        if isinstance(query, PhraseQuery):
            outcomes = _outcomes(query, scene, timed.result.targets)
    message = message or (timed.result.message if timed else "")
    return Record(number, via, query, scene, truth, timed, message, iou, outcomes)


def _outcomes(query: PhraseQuery, scene: Scene, targets: Sequence[Target]) -> tuple[PhraseOutcome, ...]:
    if tuple(target.phrase for target in targets) != query.asked:
        return ()
    return tuple(
        PhraseOutcome(
            phrase=target.phrase,
            present=id is not None,
            found=bool(target.mask.any()),
            probability=None if math.isnan(target.probability) else round(target.probability, 4),
            iou=_iou(target.mask, None if id is None else scene.mask(id)),
            correction=target.correction,
        )
        for target, id in zip(targets, query.asked_ids, strict=True)
    )


def _iou(found: np.ndarray | None, truth: np.ndarray | None) -> float:
    if found is not None and not found.any():  # a message without masks has no size either
        found = None
    return SegmentationMetrics().add(found, truth)


def told(record: Record) -> str:
    """What the result of a record tells: its answer, or of each phrase whether it is there."""
    return record.timed.result.answer or "; ".join(map(str, record.outcomes))


def mean_iou_present(records: Sequence[Record]) -> float:
    """Mean IoU of the questions whose target is in the image; 0 without any."""
    ious = [record.iou for record in records if record.truth is not None]
    return float(np.mean(ious)) if ious else 0.0


def shortcomings(records: Sequence[Record]) -> list[str]:
    """Why the demo counts as failed; nothing where it does not."""
    found = [f"question {r.number} got {r.status}: {r.message}" for r in records if not r.answered]
    found += [
        f"question {r.number} asked for {', '.join(r.query.asked)}, and its result is about other things"
        for r in records
        if r.answered and isinstance(r.query, PhraseQuery) and not r.outcomes
    ]
    mean = mean_iou_present(records)
    if mean < IOU_WANTED:
        found.append(f"the mean IoU of present targets is {mean:.2f}, below {IOU_WANTED}")
    return found


def summary(records: Sequence[Record], seconds: float) -> dict:
    """The content of summary.json. iou: 0 to 1; seconds: from asking to the result, and of the whole demo."""
    absent = [record for record in records if record.truth is None]
    outcomes = [outcome for record in records for outcome in record.outcomes]
    problems = shortcomings(records)
    return {
        "passed": not problems,
        "problems": problems,
        "mean_iou_present": mean_iou_present(records),
        "present": len(records) - len(absent),
        "absent": len(absent),
        "absent_refused": sum(record.iou == 1 for record in absent),
        "phrases_asked": sum(len(record.query.asked) for record in records if isinstance(record.query, PhraseQuery)),
        "phrases_right": sum(outcome.found == outcome.present for outcome in outcomes),
        "model": next((model for record in records if record.timed and (model := record.timed.result.model)), ""),
        "seconds": round(seconds, 2),
        "queries": [_entry(record) for record in records],
    }


def _entry(record: Record) -> dict:
    timed = record.timed
    return {
        "text": record.query.text,
        "kind": record.query.kind,
        "status": record.status,
        "answer": timed.result.answer if timed else "",
        "told": told(record) if timed else "",
        "iou": round(record.iou, 4),
        "seconds": round(timed.seconds, 3) if timed else None,
        "via": record.via,
        "message": record.message,
        "expected": list(record.query.phrases),
        "present": record.truth is not None,
        "phrases": [asdict(outcome) | {"iou": round(outcome.iou, 4)} for outcome in record.outcomes],
        "seed": record.scene.seed,
        "stages": {stage: round(value, 4) for stage, value in timed.result.seconds.items()} if timed else {},
        "picture": f"{record.name}.png",
        "cloud": f"{record.name}.ply" if timed and timed.cloud is not None else None,
    }
