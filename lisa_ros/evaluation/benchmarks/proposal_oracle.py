"""What a system that chooses among proposals could score at best: the proposal oracle, and its table of a report."""

from collections.abc import Sequence

import numpy as np

from lisa_ros.evaluation.benchmarks.rows import QueryRow
from lisa_ros.evaluation.html_report import percent
from lisa_ros.evaluation.metrics import Overlap, SegmentationMetrics, overlap_of
from lisa_ros.evaluation.normalized import normalized_overlap
from lisa_ros.evaluation.predictors import proposals_of
from lisa_ros.geometry.proposals import Proposals, nearest_mask
from lisa_ros.inference.frame import EncodedFrame
from lisa_ros.types import SegmentationResult

ORACLE_TITLE = "Proposals: what any choice among them can reach, in percent"
ORACLE_HEADER = ("", "n", "gIoU", "cIoU")


def oracle_overlaps(proposals: Proposals, truth: np.ndarray | None, size: tuple[int, int]) -> tuple[Overlap, Overlap]:
    """Overlap with the truth of the best single proposal, and of the best union that a greedy search finds.

    The union begins with the best single one and takes, as long as the IoU rises, the proposal that raises it most: it
    is at least the best single one, and finding the best of all unions would take time exponential in their number.

    Args:
        proposals: Of the image.
        truth: (H, W), see `overlap_of`.
        size: (H, W) of the image.
    """
    nothing = overlap_of(np.zeros(size, bool), truth)
    masks = [nearest_mask(mask, *size) for mask in proposals.masks]
    single = max((overlap_of(mask, truth) for mask in masks), key=lambda one: one.iou, default=nothing)
    best, union = nothing, np.zeros(size, bool)
    while masks:
        overlaps = [overlap_of(union | mask, truth) for mask in masks]
        number = max(range(len(masks)), key=lambda i: overlaps[i].iou)
        if overlaps[number].iou <= best.iou:
            break
        best, union = overlaps[number], union | masks.pop(number)
    return max(single, nothing, key=lambda one: one.iou), best


def among_proposals(frame: EncodedFrame, result: SegmentationResult, truth: np.ndarray | None) -> dict[str, object]:
    """Fields of a row about the proposals that the model chose among; none where it draws its masks."""
    proposals = proposals_of(frame)
    if proposals is None:
        return {}
    single, union = oracle_overlaps(proposals, truth, (frame.height, frame.width))
    normalized = normalized_overlap(result.union_mask, truth)
    return {
        "proposals": len(proposals),
        "oracle": (single.intersection, single.union, union.intersection, union.union),
        "normalized": (normalized.intersection, normalized.union),
    }


class ProposalOracle:
    """Sums of what the best single proposal and the best union reach; `add` one target after another."""

    def __init__(self) -> None:
        self._sums = {"best_single": SegmentationMetrics(), "best_union": SegmentationMetrics()}
        self._counts: list[int] = []

    def add(self, frame: EncodedFrame, truth: np.ndarray | None) -> None:
        """One target (H, W), see `overlap_of`; nothing is added for a system that draws its masks."""
        proposals = proposals_of(frame)
        if proposals is not None:
            parts = oracle_overlaps(proposals, truth, (frame.height, frame.width))
            self.add_overlaps(parts, len(proposals))

    def add_overlaps(self, parts: Sequence[Overlap], proposals: int) -> None:
        """What `oracle_overlaps` gave, and the number of proposals."""
        self._counts.append(proposals)
        for total, overlap in zip(self._sums.values(), parts, strict=True):
            total.add_overlap(overlap)

    @property
    def scores(self) -> dict[str, object]:
        """best_single and best_union, each n, giou, ciou; proposals, their mean number. {} without targets."""
        if not self._counts:
            return {}
        numbers = {name: {"n": one.queries, "giou": one.giou, "ciou": one.ciou} for name, one in self._sums.items()}
        return numbers | {"proposals": float(np.mean(self._counts))}

    def lines(self) -> list[tuple[str, ...]]:
        """Of a table with ORACLE_HEADER."""
        names = {"best_single": "best single one", "best_union": "best union (greedy)"}
        return [
            (names[name], str(one.queries), percent(one.giou), percent(one.ciou)) for name, one in self._sums.items()
        ]


def proposal_summary(rows: Sequence[QueryRow]) -> tuple[dict, list]:
    """Further keys of a summary, and further tables of a report: the oracle's scores and the ncIoU; none without."""
    asked = [row for row in rows if row.oracle]
    if not asked:
        return {}, []
    oracle, chosen, normalized = ProposalOracle(), SegmentationMetrics(), SegmentationMetrics()
    for row in asked:
        pairs = row.oracle[:2], row.oracle[2:4], row.normalized
        single, union, scaled = (Overlap(*pair, row.present, pair[0] > 0) for pair in pairs)
        oracle.add_overlaps((single, union), row.proposals)
        chosen.add_overlap(row.overlap)
        normalized.add_overlap(scaled)
    count = str(len(asked))
    lines = [("chosen", count, percent(chosen.giou), percent(chosen.ciou)), *oracle.lines()]
    lines.append(("chosen, ncIoU", count, "", percent(normalized.ciou)))
    return {"proposal_oracle": oracle.scores | {"ncIoU": normalized.ciou}}, [(ORACLE_TITLE, ORACLE_HEADER, lines)]
