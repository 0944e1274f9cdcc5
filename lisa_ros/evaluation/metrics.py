"""Scores of segmentation by language: LISA's gIoU and cIoU, precision at thresholds, refusals, chosen candidates."""

from collections.abc import Collection
from dataclasses import dataclass, fields

import numpy as np

from lisa_ros.geometry.masks import IGNORE, labels_of
from lisa_ros.types import Turn

PRECISION_THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass
class SegmentationMetrics:
    """Sums over queries: `add` one query after the other, `merge` the sums of several processes.

    Attributes:
        queries: Number of queries.
        iou_sum: Sum of the IoU of all queries.
        intersection: Sum of the intersections, in pixels.
        union: Sum of the unions, in pixels.
        absent: Queries whose target is not in the image.
        refused: Absent targets for which no mask was predicted.
        present: Queries whose target is in the image.
        falsely_refused: Present targets for which no mask was predicted.
        precise: For each of PRECISION_THRESHOLDS, the present targets whose IoU reaches it.
        chosen: Queries for which a model chose among candidate regions.
        candidate_precision_sum: Sum of the precisions of these choices.
        candidate_recall_sum: Sum of their recalls.
        candidate_f1_sum: Sum of their F1 scores.

    Example:
        >>> metrics = SegmentationMetrics()
        >>> mask = np.ones((4, 4), bool)
        >>> _ = metrics.add(prediction=mask, truth=mask)
        >>> metrics.precision_at[0.5]
        1.0
    """

    queries: int = 0
    iou_sum: float = 0.0
    intersection: int = 0
    union: int = 0
    absent: int = 0
    refused: int = 0
    present: int = 0
    falsely_refused: int = 0
    precise: tuple[int, ...] = (0,) * len(PRECISION_THRESHOLDS)
    chosen: int = 0
    candidate_precision_sum: float = 0.0
    candidate_recall_sum: float = 0.0
    candidate_f1_sum: float = 0.0

    def add(self, prediction: np.ndarray | None, truth: np.ndarray | None) -> float:
        """Scores one query.

        Args:
            prediction: (H, W) bool, None for no mask.
            truth: (H, W) bool, or uint8 in which 1 is the target and 255 is ignored; None for a target that is not in
                the image.

        Returns:
            The IoU of the query; 1 for an empty prediction of an empty truth, as in LISA's validation.

        Raises:
            ValueError: If prediction and truth have different sizes.
        """
        overlap = overlap_of(prediction, truth)
        self.add_overlap(overlap)
        return overlap.iou

    def add_overlap(self, overlap: "Overlap") -> None:
        """Scores one query whose pixels have been counted.

        Args:
            overlap: Prediction and truth in pixels.
        """
        self.queries += 1
        self.iou_sum += overlap.iou
        self.intersection += overlap.intersection
        self.union += overlap.union
        if overlap.present:
            self.present += 1
            reached = [overlap.exact_iou >= threshold for threshold in PRECISION_THRESHOLDS]
            self.precise = tuple(n + more for n, more in zip(self.precise, reached, strict=True))
            self.falsely_refused += not overlap.found
        else:
            self.absent += 1
            self.refused += not overlap.found

    def add_candidates(self, chosen: Collection[int], right: Collection[int]) -> None:
        """Scores the choice among candidate regions for one query.

        Choosing none where none is right is a perfect choice; otherwise an empty choice scores 0.

        Args:
            chosen: Numbers of the chosen regions.
            right: Numbers of the right regions.
        """
        choice = Choice.of(chosen, right)
        self.chosen += 1
        self.candidate_precision_sum += choice.precision
        self.candidate_recall_sum += choice.recall
        self.candidate_f1_sum += choice.f1

    def merge(self, other: "SegmentationMetrics"):
        """Adds the sums of another accumulator to this one.

        Args:
            other: For example of another process; it stays as it is.
        """
        precise = tuple(a + b for a, b in zip(self.precise, other.precise, strict=True))
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))
        self.precise = precise

    @property
    def giou(self) -> float:
        """Mean IoU of the queries, with the small constant of LISA's AverageMeter; NaN without queries."""
        return self.iou_sum / (self.queries + 1e-5) if self.queries else float("nan")

    @property
    def ciou(self) -> float:
        """Intersection over union of all pixels together; NaN without queries."""
        return self.intersection / (self.union + 1e-10) if self.queries else float("nan")

    @property
    def n_acc(self) -> float:
        """Share of absent targets that got no mask (gRefCOCO's N-acc, the refusal rate); NaN without any."""
        return self.refused / self.absent if self.absent else float("nan")

    @property
    def t_acc(self) -> float:
        """Share of present targets that got a mask (gRefCOCO's T-acc, 1 - false refusals); NaN without any."""
        return 1 - self.falsely_refused / self.present if self.present else float("nan")

    @property
    def see_accuracy(self) -> float:
        """Share of queries in which the model is right about whether the target is there (SESAME); NaN without any."""
        right = self.refused + self.present - self.falsely_refused
        return right / self.queries if self.queries else float("nan")

    @property
    def precision_at(self) -> dict[float, float]:
        """Share of present targets whose IoU reaches each threshold (Pr@0.5 to Pr@0.9); NaN without any."""
        shares = [n / self.present if self.present else float("nan") for n in self.precise]
        return dict(zip(PRECISION_THRESHOLDS, shares, strict=True))

    @property
    def candidate_scores(self) -> tuple[float, float, float]:
        """Precision, recall and F1 of the chosen candidates, each the mean over queries (ELISA); NaN without any."""
        sums = self.candidate_precision_sum, self.candidate_recall_sum, self.candidate_f1_sum
        return tuple(total / self.chosen if self.chosen else float("nan") for total in sums)


@dataclass(frozen=True)
class Choice:
    """A choice among candidate regions for one query.

    Attributes:
        hits: Regions that were chosen and are right.
        chosen: Regions that were chosen.
        right: Regions that are right.
    """

    hits: int
    chosen: int
    right: int

    @classmethod
    def of(cls, chosen: Collection[int], right: Collection[int]) -> "Choice":
        """Of regions that are given by their numbers."""
        chosen, right = set(chosen), set(right)
        return cls(len(chosen & right), len(chosen), len(right))

    @property
    def precision(self) -> float:
        """Share of the chosen ones that are right; where none is chosen, 1 if none is right, else 0."""
        return self.hits / self.chosen if self.chosen else float(not self.right)

    @property
    def recall(self) -> float:
        """Share of the right ones that are chosen; where none is right, 1 if none is chosen, else 0."""
        return self.hits / self.right if self.right else float(not self.chosen)

    @property
    def f1(self) -> float:
        """Harmonic mean of both; 1 where none is chosen and none is right."""
        both = self.chosen + self.right
        return 2 * self.hits / both if both else 1.0


@dataclass(frozen=True)
class Overlap:
    """Prediction and truth of one query in pixels.

    Attributes:
        intersection: Pixels in both.
        union: Pixels in either.
        present: Whether the truth has any pixel.
        found: Whether the prediction has any pixel.
    """

    intersection: int
    union: int
    present: bool
    found: bool

    @property
    def iou(self) -> float:
        """Intersection over union; 1 for an empty prediction of an empty truth, as in LISA's validation."""
        return self.intersection / (self.union + 1e-5) + (1.0 if self.union == 0 else 0.0)

    @property
    def exact_iou(self) -> float:
        """Without LISA's small constant, by which a mask of exactly half the union would miss Pr@0.5."""
        return self.intersection / self.union if self.union else 1.0


def union_truth(turn: Turn, ignore: np.ndarray | None = None) -> np.ndarray | None:
    """The union of a turn's targets in the form that the metrics take.

    Args:
        turn: The question with its targets.
        ignore: (H, W) bool, pixels that do not count, also for an absent target; None for none.

    Returns:
        (H, W) bool, or uint8 with 255 where `ignore` is set; None if no target is in the image and nothing is ignored.
    """
    masks = [target.mask for target in turn.targets if target.mask is not None]
    if not masks and ignore is None:
        return None
    truth = np.logical_or.reduce(masks) if masks else np.zeros_like(ignore)
    return truth if ignore is None else labels_of(truth, ignore)


def overlap_of(prediction: np.ndarray | None, truth: np.ndarray | None) -> Overlap:
    """Counts the pixels of one query.

    Args:
        prediction: As in `SegmentationMetrics.add`.
        truth: As in `SegmentationMetrics.add`.

    Returns:
        The counts.

    Raises:
        ValueError: If prediction and truth have different sizes.
    """
    if prediction is None and truth is None:
        return Overlap(0, 0, False, False)
    if prediction is None or truth is None:
        only = truth == 1 if prediction is None else prediction
        area = int(np.count_nonzero(only))
        return Overlap(0, area, prediction is None and area > 0, truth is None and area > 0)
    if prediction.shape != truth.shape:
        raise ValueError(f"prediction {prediction.shape} and truth {truth.shape} must have the same size")
    wanted = truth == 1
    found = prediction if truth.dtype == bool else prediction & (truth != IGNORE)
    inter = int(np.count_nonzero(found & wanted))
    union = int(np.count_nonzero(found)) + int(np.count_nonzero(wanted)) - inter
    return Overlap(inter, union, bool(wanted.any()), bool(prediction.any()))
