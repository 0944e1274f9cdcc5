"""gIoU and cIoU as LISA's validation computes them, and how well absent targets are refused."""

from dataclasses import dataclass, fields

import numpy as np

IGNORE = 255


@dataclass
class SegmentationMetrics:
    """Sums over queries; `add` one after the other, `merge` those of several processes.

    queries: all. iou_sum: of all queries' IoU. intersection, union: pixels. absent: queries whose target is not in the
    image, refused: those of them without a mask. present, falsely_refused: likewise for targets that are there.
    """

    queries: int = 0
    iou_sum: float = 0.0
    intersection: int = 0
    union: int = 0
    absent: int = 0
    refused: int = 0
    present: int = 0
    falsely_refused: int = 0

    def add(self, prediction: np.ndarray | None, truth: np.ndarray | None) -> float:
        """Scores one query and returns its IoU.

        prediction: (H, W) bool, None for no mask. truth: (H, W) bool, or uint8 in which 255 is ignored and only 1 is
        the target; None for a target that is not in the image.
        An empty prediction of an empty truth has IoU 1, as in LISA's validation.
        """
        inter, union, wanted, found = _areas(prediction, truth)
        iou = inter / (union + 1e-5) + (1.0 if union == 0 else 0.0)
        self.queries += 1
        self.iou_sum += iou
        self.intersection += inter
        self.union += union
        if wanted:
            self.present += 1
            self.falsely_refused += not found
        else:
            self.absent += 1
            self.refused += not found
        return iou

    def merge(self, other: "SegmentationMetrics"):
        """Adds the sums of another accumulator to this one."""
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))

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


def _areas(prediction, truth) -> tuple[int, int, bool, bool]:
    """Intersection, union in pixels, and whether truth and prediction have any pixel at all."""
    if prediction is None and truth is None:
        return 0, 0, False, False
    if prediction is None or truth is None:
        only = truth == 1 if prediction is None else prediction
        area = int(np.count_nonzero(only))
        return 0, area, prediction is None and area > 0, truth is None and area > 0
    if prediction.shape != truth.shape:
        raise ValueError(f"prediction {prediction.shape} and truth {truth.shape} must have the same size")
    wanted = truth == 1
    found = prediction if truth.dtype == bool else prediction & (truth != IGNORE)
    inter = int(np.count_nonzero(found & wanted))
    union = int(np.count_nonzero(found)) + int(np.count_nonzero(wanted)) - inter
    return inter, union, bool(wanted.any()), bool(prediction.any())
