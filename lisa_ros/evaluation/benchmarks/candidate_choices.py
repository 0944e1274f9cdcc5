"""Which candidates ELISA's answers choose, with and without the truth among them: rows, summary, tables of a report."""

from collections.abc import Sequence

import numpy as np

from lisa_ros.evaluation.benchmarks.proposal_oracle import proposal_summary
from lisa_ros.evaluation.benchmarks.rows import QueryRow
from lisa_ros.evaluation.candidates.answers import CandidateAnswer
from lisa_ros.evaluation.candidates.choices import ChoiceScores, pool_with_truth, right_candidates
from lisa_ros.evaluation.html_report import percent, with_interval
from lisa_ros.evaluation.intervals import ratio_intervals
from lisa_ros.evaluation.predictors import Predictor
from lisa_ros.geometry.proposals import Proposals, nearest_mask
from lisa_ros.inference.elisa.model import CandidateFrame
from lisa_ros.inference.frame import EncodedFrame
from lisa_ros.model.elisa.embedding import squash_mask
from lisa_ros.types import Sample, SegmentationResult, TruthTarget, Turn

_POOLS = {"choice": "proposals alone", "choice_with_truth": "truth among them"}
_SHARES = ("precision", "recall", "f1", "accuracy")
_CHOICES = "Chosen candidates, in percent"
_CHOICES_HEADER = ("pool", "n", "candidates", "precision", "recall", "F1", "accuracy", "F1 at random")
_POLYGONS = "Polygons of the chosen candidates, in percent, as ELISA's validation measures them"
_POLYGONS_HEADER = ("pool", "n", "cIoU", "mean IoU", "generalized IoU")


def candidate_answers(
    predictor: Predictor,
    sample: Sample,
    frame: EncodedFrame,
    turn: Turn,
    result: SegmentationResult,
    *,
    could_ask: bool = True,
) -> dict[str, CandidateAnswer]:
    """Fields of a row about what the answer to a turn chose; none for another system, or a turn without a target.

    The question is asked once more with the truth among the candidates, as in ELISA's own validation.

    Args:
        predictor: It answered.
        sample: With the image.
        frame: Of the image.
        turn: The question.
        result: Its answer.
        could_ask: False for a question that it refused: nothing is chosen then.
    """
    if not isinstance(frame, CandidateFrame):
        return {}
    truth = [part for target in turn.targets for part in _parts(target) if part.any()]
    if not truth:
        return {}
    proposals, squashed = frame.proposals, not predictor.lisa.model.style.letterbox
    own = [_at_size(mask, proposals, squashed=squashed) for mask in truth]
    right = right_candidates(proposals, own)
    pool, places = pool_with_truth(proposals, own)
    again = predictor(predictor.lisa.encode(sample.image, pool), turn) if could_ask else result
    return {
        "choice": CandidateAnswer.of(_named(result), right, proposals.masks, truth),
        "choice_with_truth": CandidateAnswer.of(_named(again), places, pool.masks, truth),
    }


def _parts(target: TruthTarget) -> tuple[np.ndarray, ...]:
    return target.parts or (() if target.mask is None else (target.mask,))


def _named(result: SegmentationResult) -> list[int]:
    return [target.candidate.index for target in result.targets if target.candidate is not None]


def _at_size(mask: np.ndarray, proposals: Proposals, *, squashed: bool) -> np.ndarray:
    """A mask (H, W) bool at the size of the proposals, by the rule that made them."""
    size = proposals.height, proposals.width
    small = squash_mask(mask) > 0 if squashed else mask
    return small if small.shape == size else nearest_mask(small, *size)


def choice_summary(rows: Sequence[QueryRow]) -> tuple[dict, list]:
    """Further keys of a summary, and further tables of a report; none without rows of such a system.

    candidates, by pool ("choice", "choice_with_truth"): n; candidates (their mean number); precision, recall, f1 and
    accuracy, means over questions, with their intervals (NAME_ci); random: what choosing at random is expected to
    score; polygons: ciou, mean_iou, generalized_iou.
    """
    numbers, choices, polygons = {}, [], []
    for pool, name in _POOLS.items():
        asked = [(row.key, answer) for row in rows if (answer := getattr(row, pool)) is not None]
        if not asked:
            continue
        found = numbers[pool] = _scores([key for key, _ in asked], [answer for _, answer in asked])
        shares = [with_interval(found[one], found[f"{one}_ci"]) for one in _SHARES]
        counts = str(found["n"]), f"{found['candidates']:.1f}"
        choices.append((name, *counts, *shares, percent(found["random"]["f1"])))
        areas = (percent(found["polygons"][one]) for one in ("ciou", "mean_iou", "generalized_iou"))
        polygons.append((name, str(found["n"]), *areas))
    if not numbers:
        return {}, []
    return {"candidates": numbers}, [(_CHOICES, _CHOICES_HEADER, choices), (_POLYGONS, _POLYGONS_HEADER, polygons)]


def choice_report(rows: Sequence[QueryRow]) -> tuple[dict, list]:
    """What `proposal_summary` and `choice_summary` give, together."""
    parts = [proposal_summary(rows), choice_summary(rows)]
    return parts[0][0] | parts[1][0], [*parts[0][1], *parts[1][1]]


def _scores(keys: Sequence[str], answers: Sequence[CandidateAnswer]) -> dict[str, object]:
    scores, guess = [answer.scores for answer in answers], ChoiceScores.mean([answer.guess for answer in answers])
    each = {name: ([getattr(one, name) for one in scores], [1] * len(scores)) for name in _SHARES}
    overlaps = [answer.overlap for answer in answers]
    union = sum(one.union for one in overlaps)
    return {
        "n": len(answers),
        "candidates": float(np.mean([answer.pool for answer in answers])),
        **{name: getattr(ChoiceScores.mean(scores), name) for name in _SHARES},
        **{f"{name}_ci": _known(interval) for name, interval in ratio_intervals(keys, each).items()},
        "random": vars(guess),
        "polygons": {
            "ciou": sum(one.intersection for one in overlaps) / union if union else 0.0,
            "mean_iou": float(np.mean([one.iou for one in overlaps])),
            "generalized_iou": float(np.mean([one.generalized_iou for one in overlaps])),
        },
    }


def _known(interval: Sequence[float]) -> list[float | None]:
    """As JSON can hold it."""
    return [None if bound != bound else float(bound) for bound in interval]
