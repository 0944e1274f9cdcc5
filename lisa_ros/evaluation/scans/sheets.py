"""Pictures of scored answers: the worst, the median and the best."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lisa_ros.evaluation.scans.rows import ReplayRow
from lisa_ros.evaluation.scans.scan import Scan
from lisa_ros.evaluation.scans.scoring import read_mask
from lisa_ros.types import SEGMENTED, SegmentationResult, Target
from lisa_ros.visualization import annotated_picture

_SHOWN = 3


_PICTURE = 460  # px, width of one panel


def example_sheets(rows: Sequence[ReplayRow], directory: Path, scan: Scan) -> dict[str, np.ndarray]:
    """Pictures of the worst, median and best answer, (H, W, 3) uint8 RGB; the rows' masks are in `directory`."""
    ranked = sorted(rows, key=lambda row: (row.iou, row.frame, row.number))
    if not ranked:
        return {}
    chosen = {"worst": ranked[0], "median": ranked[len(ranked) // 2], "best": ranked[-1]}
    return {name: captioned_sheets([row], directory, scan)[0][1] for name, row in chosen.items()}


def chosen_rows(rows: Sequence[ReplayRow]) -> dict[str, list[ReplayRow]]:
    """Worst, median and best; every query at most once in each."""
    ranked = sorted(rows, key=lambda row: (row.iou, row.frame, row.number))
    if len(ranked) <= _SHOWN:
        return {"all": ranked}
    middle = sorted(ranked, key=lambda row: abs(ranked.index(row) - len(ranked) // 2))
    return {"worst": _varied(ranked), "median": _varied(middle), "best": _varied(ranked[::-1])}


def _varied(rows: Sequence[ReplayRow]) -> list[ReplayRow]:
    found: dict[str, ReplayRow] = {}
    for row in rows:
        found.setdefault(row.query_id, row)
    return list(found.values())[:_SHOWN]


def captioned_sheets(rows: Sequence[ReplayRow], directory: Path, scan: Scan) -> list[tuple[str, np.ndarray]]:
    """A caption and a picture (H, W, 3) uint8 RGB of each row, beside the truth."""
    images = {sens.index: sens.color() for sens in scan.sens_frames({row.frame for row in rows})}
    queries = {query.query_id: query for query in scan.queries}
    sheets = []
    for row in rows:
        mask = read_mask(directory / "masks" / row.protocol, row)
        targets = () if mask is None else (Target("", SEGMENTED, mask),)
        result = SegmentationResult(row.text, row.answer or row.message, targets, truncated=row.truncated)
        truth = scan.truth(queries[row.query_id], row.frame)
        sheet = annotated_picture(
            images[row.frame], result, truth=truth.mask, iou=row.iou, note=row.kind, panel_width=_PICTURE
        )
        sheets.append((f"frame {row.frame}, {row.status}; the truth is outlined in white", sheet))
    return sheets
