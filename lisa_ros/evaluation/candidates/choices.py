"""Precision, recall and F1 of chosen candidates, with and without the truth in the pool (ELISA)."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from lisa_ros.evaluation.metrics import Choice
from lisa_ros.geometry.proposals import Proposals, mask_iou


@dataclass(frozen=True)
class ChoiceScores:
    """Scores of one choice, or means over several; shares.

    Attributes:
        accuracy: Candidates that were rightly chosen or rightly left.
        precision: Of the chosen ones the right ones.
        recall: Of the right ones the chosen ones.
        f1: Harmonic mean of both.
    """

    accuracy: float
    precision: float
    recall: float
    f1: float

    @classmethod
    def mean(cls, scores: Sequence["ChoiceScores"]) -> "ChoiceScores":
        """Over queries, each counted once; NaN without any."""
        if not scores:
            return cls(*[float("nan")] * 4)
        return cls(*np.mean([(one.accuracy, one.precision, one.recall, one.f1) for one in scores], axis=0).tolist())


def score_choice(chosen: Collection[int], right: Collection[int], pool: int) -> ChoiceScores:
    """Scores as ELISA's own evaluation has them: 0 where a share has no denominator.

    `lisa_ros.evaluation.metrics.Choice` counts an empty choice as right where nothing is right; ELISA's data have no
    such query.

    Args:
        chosen: Indices of chosen candidates; those that are none of the pool's count for nothing.
        right: Indices of the right ones.
        pool: Number of candidates.

    Returns:
        The scores.
    """
    chosen, right = {one for one in chosen if 0 <= one < pool}, set(right)
    choice = Choice.of(chosen, right)
    precision = choice.hits / choice.chosen if choice.chosen else 0.0
    recall = choice.hits / choice.right if choice.right else 0.0
    agreed = pool - len(chosen ^ right)
    both = precision + recall
    f1 = 2 * precision * recall / both if both else 0.0
    return ChoiceScores(agreed / pool if pool else 0.0, precision, recall, f1)


def random_choice(right: int, pool: int) -> ChoiceScores:
    """What choosing each candidate with probability one half is expected to score (the paper's Rand50).

    Args:
        right: Number of right candidates.
        pool: Number of candidates, at least 1.

    Returns:
        The expected shares; F1 is that of the expected precision and recall.
    """
    precision, recall = right / pool, 0.5 if right else 0.0
    both = precision + recall
    return ChoiceScores(0.5, precision, recall, 2 * precision * recall / both if both else 0.0)


def right_candidates(proposals: Proposals, truth: Sequence[np.ndarray], iou: float = 0.5) -> list[int]:
    """Candidates that count as right where the truth is not in the pool.

    Args:
        proposals: The pool.
        truth: Masks of the targets, each (height, width) bool at the size of the proposals.
        iou: A candidate is right if its IoU with some target is at least this much.

    Returns:
        Their indices.
    """
    return [
        index for index, mask in enumerate(proposals.masks) if any(mask_iou(mask, target) >= iou for target in truth)
    ]


def pool_with_truth(proposals: Proposals, truth: Sequence[np.ndarray]) -> tuple[Proposals, list[int]]:
    """ELISA's pool of validation: the truth first, then the proposals that are no copies of it.

    Args:
        proposals: Of Segment Anything.
        truth: Masks of the targets, as for `right_candidates`.

    Returns:
        The pool, and the indices of the truth in it.
    """
    own = Proposals.from_masks(truth, proposals.height, proposals.width)
    others = proposals.without_copies(truth)
    return Proposals(own.height, own.width, (*own.items, *others.items)), list(range(len(own)))
