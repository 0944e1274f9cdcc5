"""Scores that the paper published, printed beside ours and marked so: never compare across modes or sets.

Reasoning Segmentation via Large Language Model (arXiv 2308.00692v3), tables 1 and 2; teacher-forced.
"""

from typing import NamedTuple

SOURCE = "published: arXiv 2308.00692, teacher-forced; not measured here"


class Published(NamedTuple):
    """One row; giou and ciou in percent, None where the paper gives none."""

    model: str
    giou: float | None
    ciou: float | None


_REASONSEG = {
    "val": (
        Published("LISA-7B", 44.4, 46.0),
        Published("LISA-7B (fine-tuned)", 52.9, 54.0),
        Published("LISA-13B", 48.9, 46.9),
        Published("LISA-13B (fine-tuned)", 56.2, 62.9),
    ),
    "test": (
        Published("LISA-7B", 36.8, 34.1),
        Published("LISA-7B (fine-tuned)", 47.3, 48.4),
        Published("LISA-13B", 44.8, 45.8),
        Published("LISA-13B (fine-tuned)", 51.7, 51.1),
    ),
}
# cIoU of (LISA-7B, LISA-7B fine-tuned)
_REFERRING = {
    "refcoco/val": (74.1, 74.9),
    "refcoco/testA": (76.5, 79.1),
    "refcoco/testB": (71.1, 72.3),
    "refcoco+/val": (62.4, 65.1),
    "refcoco+/testA": (67.4, 70.8),
    "refcoco+/testB": (56.5, 58.1),
    "refcocog/val": (66.4, 67.9),
    "refcocog/test": (68.5, 70.6),
}


def published_rows(benchmark: str, split: str) -> tuple[Published, ...]:
    """The paper's rows for a set and split; empty where it has none."""
    if benchmark == "reasonseg":
        return _REASONSEG.get(split, ())
    pair = _REFERRING.get(f"{benchmark}/{split}")
    if pair is None:
        return ()
    return Published("LISA-7B", None, pair[0]), Published("LISA-7B (fine-tuned)", None, pair[1])
