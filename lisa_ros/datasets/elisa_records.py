"""ELISA's records: AlphaCLIP embeddings and contours of the truth and of other candidates, one image a line."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from lisa_ros.errors import DatasetError

SIDE = 1024  # of the square that contours lie in, px
Shape = Sequence[Sequence[Sequence[float]]]  # contours of one mask, each of [x, y]


@dataclass(frozen=True)
class MaskRecord:
    """One image.

    Attributes:
        image: File name of the picture.
        truth: (P, D) float32 embeddings of the targets' masks, of length 1, the mean not taken off.
        others: (N, D) float32 those of candidates that are no copies of the truth, the largest first.
        truth_shapes: Contours of the targets, x and y in a square of SIDE, holes as further contours.
        other_shapes: Those of the candidates.
    """

    image: str
    truth: np.ndarray
    others: np.ndarray
    truth_shapes: tuple[Shape, ...]
    other_shapes: tuple[Shape, ...]

    def overlaps(self, side: int = 256) -> np.ndarray:
        """(P, P + N) float32 IoU of each target with every candidate, drawn with their holes at `side` x `side`."""
        masks = np.stack([drawn_shape(shape, side).ravel() for shape in (*self.truth_shapes, *self.other_shapes)])
        masks = masks.astype(np.float32)
        inside = masks[: len(self.truth)] @ masks.T
        area = masks.sum(axis=1)
        return inside / np.maximum(area[: len(self.truth), None] + area[None] - inside, 1.0)


def drawn_shape(shape: Shape, side: int = SIDE) -> np.ndarray:
    """(side, side) bool of a mask's contours; what an odd number of them surrounds is inside, so that holes stay."""
    canvas = np.zeros((side, side), np.uint8)
    scale = (side - 1) / (SIDE - 1)
    cv2.fillPoly(canvas, [np.rint(np.asarray(contour) * scale).astype(np.int32) for contour in shape], 1)
    return canvas == 1


def read_records(path: Path, candidates: int = 30) -> list[MaskRecord]:
    """The records of a JSON lines file that have a target and another candidate, as ELISA's loader takes them.

    Args:
        path: The file.
        candidates: At most so many of an image's candidates beside the truth.

    Returns:
        The records in the order of the file.

    Raises:
        DatasetError: The file is missing or damaged; the message names the line.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} cannot be read: {error}; `python -m training prepare` writes it") from error
    found = []
    for number, line in enumerate(lines, start=1):
        try:
            found.append(_record(json.loads(line), candidates))
        except (ValueError, KeyError, TypeError) as error:
            raise DatasetError(f"{path}, line {number} is not a record of ELISA: {error!r}") from error
    return [record for record in found if len(record.truth) and len(record.others)]


def _record(values: Mapping[str, object], candidates: int) -> MaskRecord:
    truth, others = _embeddings(values["gt_embs"]), _embeddings(values["sam_embs"][:candidates])
    shapes = tuple(values["gt_shapes"]), tuple(values["sam_shapes"][:candidates])
    if (len(truth), len(others)) != tuple(map(len, shapes)):
        raise ValueError(f"{len(truth)} and {len(others)} embeddings for {len(shapes[0])} and {len(shapes[1])} shapes")
    if len(truth) and len(others) and truth.shape[1] != others.shape[1]:
        raise ValueError(f"embeddings of {truth.shape[1]} and {others.shape[1]} numbers")
    return MaskRecord(str(values["img"]), truth, others, *shapes)


def _embeddings(rows: Sequence[Sequence[float]]) -> np.ndarray:
    found = np.array(rows, np.float32) if rows else np.zeros((0, 0), np.float32)
    if found.ndim != 2:
        raise ValueError("embeddings must be lists of numbers")
    if not np.isfinite(found).all():
        raise ValueError("an embedding holds a number that is not finite")
    return found
