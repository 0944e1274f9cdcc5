"""What an answer chose among the candidates of an image, kept in one row: its P/R/F1 and its overlap of polygons."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lisa_ros.evaluation.candidates.choices import ChoiceScores, random_choice, score_choice
from lisa_ros.evaluation.candidates.polygons import PolygonOverlap, contours_of, polygon_overlap
from lisa_ros.model.elisa.embedding import squash_mask


@dataclass(frozen=True)
class CandidateAnswer:
    """One answer about one pool of candidates.

    Attributes:
        chosen: Indices of the candidates that the answer names, each once.
        right: Those that are right.
        pool: Number of candidates.
        polygons: Of the chosen masks and the truth, in a square of 1024 px to which both are squashed, as ELISA's
            validation measures them: intersection, union in px², generalized IoU.
    """

    chosen: tuple[int, ...]
    right: tuple[int, ...]
    pool: int
    polygons: tuple[float, float, float]

    @classmethod
    def of(
        cls, chosen: Sequence[int], right: Sequence[int], masks: np.ndarray, truth: Sequence[np.ndarray]
    ) -> "CandidateAnswer":
        """Of the indices named, the right ones, the pool's masks (K, h, w) bool, and the targets' masks (H, W) bool."""
        named = tuple(dict.fromkeys(chosen))
        found = polygon_overlap(_contours(truth), _contours([masks[index] for index in named]))
        polygons = (found.intersection, found.union, found.generalized_iou)
        return cls(named, tuple(right), len(masks), polygons)

    @classmethod
    def from_dict(cls, values: Mapping[str, object] | None) -> "CandidateAnswer | None":
        """What `dataclasses.asdict` and JSON made of one; None for None."""
        if values is None:
            return None
        lists = {name: tuple(values[name]) for name in ("chosen", "right", "polygons")}
        return cls(**{**values, **lists})

    @property
    def scores(self) -> ChoiceScores:
        """Precision, recall and F1."""
        return score_choice(self.chosen, self.right, self.pool)

    @property
    def guess(self) -> ChoiceScores:
        """What choosing at random is expected to score; 0 where there is no candidate."""
        return random_choice(len(self.right), self.pool) if self.pool else ChoiceScores(0.0, 0.0, 0.0, 0.0)

    @property
    def overlap(self) -> PolygonOverlap:
        """Of the polygons."""
        return PolygonOverlap(*self.polygons)


def _contours(masks: Sequence[np.ndarray]) -> list[list[list[int]]]:
    return [contour for mask in masks for contour in contours_of(squash_mask(mask) > 0)]
