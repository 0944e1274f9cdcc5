"""Scores of phrases that may be absent (gRefCOCO): the official rule of GSVA, and an honest one beside it."""

import math
from dataclasses import dataclass, field

import numpy as np

from lisa_ros.evaluation.metrics import SegmentationMetrics, overlap_of


@dataclass
class PhraseMetrics:
    """Sums over phrases; `add` one after the other.

    The official rule takes the model's decision for an absent target alone: rejected it scores 1 whatever its mask is,
    not rejected 0 even with an empty mask. Of a target that is there the mask counts although it was rejected. The
    honest rule gives a rejected phrase no mask: a rejected target that is there scores 0 and its pixels enter the
    union. An absent target without any predicted pixel scores 1.

    Attributes:
        counts_false_positives: Whether the masks of absent targets that were not rejected enter the official cIoU's
            union: in gRefCOCO they do, in Ref-ZOM they do not.
        phrases: Number of phrases.
        iou_sum: Of all phrases' IoU by the official rule.
        intersection: Pixels, by the official rule.
        union: Pixels, by the official rule.
        absent: Phrases whose target is not in the image.
        rejected: Those of them that were rejected.
        present: Phrases whose target is there.
        falsely_rejected: Those of them that were rejected.
        unanswered: Phrases that the answer did not mention; they count as rejected.
        honest: The same phrases by the honest rule.
        masks: The masks whatever was decided, by LISA's rule: what GSVA gives for sets without absent targets.
    """

    counts_false_positives: bool = True
    phrases: int = 0
    iou_sum: float = 0.0
    intersection: int = 0
    union: int = 0
    absent: int = 0
    rejected: int = 0
    present: int = 0
    falsely_rejected: int = 0
    unanswered: int = 0
    honest: SegmentationMetrics = field(default_factory=SegmentationMetrics)
    masks: SegmentationMetrics = field(default_factory=SegmentationMetrics)

    def add(self, logits: np.ndarray | None, truth: np.ndarray | None, rejected: bool) -> None:
        """Scores one phrase.

        Args:
            logits: (H, W) mask logits, also of a rejected phrase if the model gave them; None for no mask.
            truth: (H, W) bool, or uint8 in which 255 is ignored and only 1 is the target; None, or without a pixel of
                the target, where it is not in the image.
            rejected: The model's decision.
        """
        # The official code takes logits of exactly 0 into the mask here, and leaves them out by LISA's rule.
        overlap = overlap_of(None if logits is None else logits >= 0, truth)
        self.phrases += 1
        if overlap.present:
            self.present += 1
            self.falsely_rejected += rejected
            self.iou_sum += overlap.intersection / (overlap.union + 1e-8)
            self.intersection += overlap.intersection
            self.union += overlap.union
        else:
            self.absent += 1
            self.rejected += rejected
            self.iou_sum += float(rejected)
            if not rejected and self.counts_false_positives:
                self.union += overlap.union
        mask = None if logits is None else logits > 0
        self.honest.add(None if rejected else mask, truth)
        self.masks.add(mask, truth)

    @property
    def giou(self) -> float:
        """Mean IoU of the phrases by the official rule; NaN without phrases."""
        return self.iou_sum / (self.phrases + 1e-5) if self.phrases else float("nan")

    @property
    def ciou(self) -> float:
        """Intersection over union of all pixels together by the official rule; NaN without phrases."""
        return self.intersection / (self.union + 1e-10) if self.phrases else float("nan")

    @property
    def n_acc(self) -> float:
        """Share of absent targets that were rejected; NaN without any."""
        return self.rejected / self.absent if self.absent else float("nan")

    @property
    def t_acc(self) -> float:
        """Share of present targets that were not rejected; NaN without any."""
        return 1 - self.falsely_rejected / self.present if self.present else float("nan")

    def to_dict(self) -> dict[str, object]:
        """JSON-ready scores; null for those that are of nothing."""
        honest = self.honest

        def known(**scores: float) -> dict[str, float | None]:
            return {name: None if math.isnan(value) else value for name, value in scores.items()}

        return {
            "phrases": self.phrases,
            "absent": self.absent,
            "unanswered": self.unanswered,
            "official": known(giou=self.giou, ciou=self.ciou, n_acc=self.n_acc, t_acc=self.t_acc),
            "honest": known(giou=honest.giou, ciou=honest.ciou, n_acc=honest.n_acc, t_acc=honest.t_acc),
            "masks_whatever_decided": known(giou=self.masks.giou, ciou=self.masks.ciou),
        }
