"""Masks of one image that a system may choose among: kept as run lengths, sorted, cut and freed of copies."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from lisa_ros.geometry.run_lengths import compressed, run_length_mask, run_lengths


@dataclass(frozen=True)
class Proposal:
    """One mask.

    Attributes:
        counts: Its run lengths as COCO's text.
        area: Its pixels.
        box: (x, y, width, height) as its maker gave it, px.
        predicted_iou: What the maker expects of its overlap with a thing.
        stability: IoU of the masks at two thresholds around its own.
        point: (x, y) that it was prompted with, px; None without one.
        crop_box: (x, y, width, height) of the part of the image that it was made from, px; None for the whole.
    """

    counts: str
    area: int
    box: tuple[float, float, float, float]
    predicted_iou: float = 1.0
    stability: float = 1.0
    point: tuple[float, float] | None = None
    crop_box: tuple[float, float, float, float] | None = None


@dataclass(frozen=True)
class Proposals:
    """All of one image; the index of a candidate is its place here.

    Attributes:
        height: Of the masks in pixels; the image itself may be larger.
        width: Of the masks in pixels.
        items: The masks.
    """

    height: int
    width: int
    items: tuple[Proposal, ...] = ()

    def __len__(self) -> int:
        """Number of masks."""
        return len(self.items)

    @cached_property
    def masks(self) -> np.ndarray:
        """(K, height, width) bool."""
        size = [self.height, self.width]
        drawn = [run_length_mask({"size": size, "counts": item.counts}, *size) for item in self.items]
        return np.stack(drawn) if drawn else np.zeros((0, *size), bool)

    @classmethod
    def from_masks(cls, masks: Iterable[np.ndarray], height: int, width: int) -> "Proposals":
        """Of masks (height, width) bool, as the truth of a simulator or of annotations."""
        return cls(height, width, tuple(map(_of_mask, masks)))

    def largest(self, count: int) -> "Proposals":
        """The `count` largest by area, the largest first; those of one area stay in their order."""
        order = sorted(self.items, key=lambda item: item.area, reverse=True)
        return replace(self, items=tuple(order[:count]))

    def without_copies(self, of: Sequence[np.ndarray], iou: float = 0.95) -> "Proposals":
        """Those whose IoU with each mask (height, width) bool of `of` is at most `iou`."""
        kept = [
            item
            for item, mask in zip(self.items, self.masks, strict=True)
            if all(mask_iou(mask, other) <= iou for other in of)
        ]
        return replace(self, items=tuple(kept))

    def union_at(self, indices: Sequence[int], height: int, width: int) -> np.ndarray:
        """(height, width) bool union of some of the masks, each pixel from the one at its upper left corner."""
        return nearest_mask(self.masks[list(indices)].any(axis=0), height, width)


def nearest_mask(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """A mask or labels (H, W) at another size (height, width), each pixel from the one at its upper left corner."""
    return mask[np.ix_(_corner_index(height, mask.shape[0]), _corner_index(width, mask.shape[1]))]


def _corner_index(size: int, source: int) -> np.ndarray:
    """(size,) int: which pixel of an axis of `source` each of `size` shows, as torch's "nearest" in float32."""
    scale = np.float32(source) / np.float32(size)
    return np.minimum(np.floor(np.arange(size, dtype=np.float32) * scale).astype(np.intp), source - 1)


def mask_iou(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two masks (H, W) bool; 0 for two empty ones."""
    union = np.count_nonzero(first | second)
    return np.count_nonzero(first & second) / union if union else 0.0


def _of_mask(mask: np.ndarray) -> Proposal:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = (0.0, 0.0, 0.0, 0.0)
    if len(rows):  # from pixel to pixel, as segment-anything's
        x, y = int(columns[0]), int(rows[0])
        box = (float(x), float(y), float(columns[-1] - x), float(rows[-1] - y))
    return Proposal(compressed(run_lengths(mask)), int(np.count_nonzero(mask)), box)
