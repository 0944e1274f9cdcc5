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

_TITLE = "Proposals: what any choice among them can reach, in percent"
_HEADER = ("", "n", "gIoU", "cIoU")


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


def proposal_summary(rows: Sequence[QueryRow]) -> tuple[dict, list]:
    """Further keys of a summary, and further tables of a report: the oracle's scores and the ncIoU; none without."""
    chosen = [row for row in rows if row.oracle]
    if not chosen:
        return {}, []
    sums = {name: SegmentationMetrics() for name in ("chosen", "best_single", "best_union", "normalized")}
    for row in chosen:
        single, union = row.oracle[:2], row.oracle[2:4]
        parts = {"best_single": single, "best_union": union, "normalized": row.normalized}
        sums["chosen"].add_overlap(row.overlap)
        for name, (intersection, total) in parts.items():
            sums[name].add_overlap(Overlap(intersection, total, row.present, intersection > 0))
    numbers = {
        name: {"n": one.queries, "giou": one.giou, "ciou": one.ciou}
        for name, one in sums.items()
        if name in ("best_single", "best_union")
    }
    numbers |= {"ncIoU": sums["normalized"].ciou, "proposals": float(np.mean([row.proposals for row in chosen]))}
    names = {"chosen": "chosen", "best_single": "best single one", "best_union": "best union (greedy)"}
    lines = [(names[n], str(len(chosen)), percent(sums[n].giou), percent(sums[n].ciou)) for n in names]
    lines.append(("chosen, ncIoU", str(len(chosen)), "", percent(sums["normalized"].ciou)))
    return {"proposal_oracle": numbers}, [(_TITLE, _HEADER, lines)]
