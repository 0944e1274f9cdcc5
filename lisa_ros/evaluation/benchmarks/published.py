"""Scores that papers published, printed beside ours and marked so. All are teacher-forced, and none was measured here.

ReasonSeg: arXiv 2308.00692v3, table 1; referring sets: table 2.
"""

from collections.abc import Iterable
from typing import NamedTuple

SOURCE = "published: arXiv 2308.00692v3, teacher-forced, not measured here; ft: fine-tuned on the training split"
_MODELS = (
    *("LISA-7B", "LISA-7B (ft)", "LISA-13B", "LISA-13B (ft)"),
    *("LISA-7B-LLaVA1.5", "LISA-7B-LLaVA1.5 (ft)", "LISA-13B-LLaVA1.5", "LISA-13B-LLaVA1.5 (ft)"),
)


class Published(NamedTuple):
    """One row. part: "" of the whole split, "short" or "long". giou, ciou: percent, None where the paper gives none."""

    model: str
    part: str
    giou: float | None
    ciou: float | None


# (gIoU, cIoU) of each of _MODELS; ft: fine-tuned on the benchmark's own training split.
_REASONSEG = {
    "val": {
        "": ((44.4, 46.0), (52.9, 54.0), (48.9, 46.9), (56.2, 62.9), (53.6, 52.3), (61.3, 62.9), (57.7, 60.3),
             (65.0, 72.9)),
    },
    "test": {
        "": ((36.8, 34.1), (47.3, 48.4), (44.8, 45.8), (51.7, 51.1), (48.7, 48.8), (55.6, 56.9), (53.8, 50.8),
             (61.3, 62.2)),
        "short": ((37.6, 34.4), (40.6, 40.6), (39.9, 43.3), (44.3, 42.0), (47.1, 48.5), (48.3, 46.3), (50.8, 50.0),
                  (55.4, 50.6)),
        "long": ((36.6, 34.7), (49.4, 51.0), (46.4, 46.5), (54.0, 54.3), (49.2, 48.9), (57.9, 59.7), (54.7, 50.9),
                 (63.2, 65.3)),
    },
}  # fmt: skip
# cIoU of LISA-7B without and with fine-tuning.
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
        parts = [(part, *each) for part, pairs in _REASONSEG.get(split, {}).items() for each in _named(pairs)]
        return tuple(Published(model, part, *pair) for part, model, pair in parts)
    scores = _REFERRING.get(f"{benchmark}/{split}", ())
    return tuple(Published(model, "", None, ciou) for model, ciou in _named(scores))


def _named(scores: tuple) -> Iterable[tuple]:
    return zip(_MODELS[: len(scores)], scores, strict=True)
