"""Run lengths of binary masks as COCO's API has them: column by column, first the pixels outside; also as its text."""

from collections.abc import Mapping, Sequence

import numpy as np

from lisa_ros.errors import DatasetError


def run_lengths(mask: np.ndarray) -> list[int]:
    """Counts of a mask (H, W) bool: pixels outside, inside, outside, ... down each column; the first may be 0."""
    flat = np.concatenate([[False], mask.T.ravel(), [False]])
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    bounds = changes if len(changes) and changes[-1] == mask.size else np.append(changes, mask.size)
    return np.diff(bounds, prepend=0).tolist()


def compressed(counts: Sequence[int]) -> str:
    """COCO's text of counts: 5 bits a character, from the fourth on as the difference to the one two before."""
    codes = []
    for place, count in enumerate(counts):
        value = count - counts[place - 2] if place > 2 else count
        while True:
            bits, value = value & 31, value >> 5
            more = value != (-1 if bits & 16 else 0)
            codes.append(chr(48 + (bits | 32 if more else bits)))
            if not more:
                break
    return "".join(codes)


def run_length_mask(segmentation: Mapping, height: int, width: int) -> np.ndarray:
    """(H, W) bool of {"size": [H, W], "counts": runs}; runs: a list, or COCO's compressed text. Raises DatasetError."""
    size, counts = segmentation.get("size"), segmentation.get("counts")
    if size != [height, width] and size != (height, width):
        raise DatasetError(f"run lengths for an image of {size}, not of {[height, width]}")
    runs = np.array(_decompressed(counts) if isinstance(counts, (str, bytes)) else counts)
    total = height * width
    # Each is held against the total first: a sum of huge ones could wrap around to it.
    good = runs.ndim == 1 and runs.dtype.kind in "iu" and ((runs >= 0) & (runs <= total)).all()
    if not good or runs.sum() != total:
        raise DatasetError(f"run lengths must be counts from 0 with the sum {total}")
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape(width, height).T


def _decompressed(text: str | bytes) -> list[int]:
    """Counts of COCO's compressed run lengths: 5 bits a character, from the third on less the one two before."""
    codes = text.encode("ascii", "replace") if isinstance(text, str) else text
    counts: list[int] = []
    value = shift = 0
    for code in codes:
        bits = code - 48
        if not 0 <= bits < 64:
            raise DatasetError(f"compressed run lengths have the character {chr(code)!r}")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:  # more characters follow
            continue
        if bits & 16:  # negative
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = shift = 0
    if shift:
        raise DatasetError("compressed run lengths end in the middle of a number")
    return counts
