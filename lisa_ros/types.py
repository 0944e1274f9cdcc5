"""Plain data that every floor of the package shares. No torch, no rclpy: arrays are numpy."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

SEGMENTED = "segmented"
ABSENT = "absent"
TargetKind = Literal["segmented", "absent"]
SEG, REJ, LOC = "SEG", "REJ", "LOC"
EventKind = Literal["SEG", "REJ", "LOC"]


@dataclass(frozen=True)
class GroundingEvent:
    """One token of the text that points into the image.

    Attributes:
        kind: "SEG" (a mask follows), "REJ" (named, but not in the image), "LOC" (a coarse region for a SEG).
        position: Index of the token in the sequence of token ids, prompt included, image placeholder counted as one.
        phrase: Words that the token belongs to (text since the previous event or sentence start), "" if there are none.
        parent: Index, among the events of the sequence, of the LOC whose mask is the mask prompt of this SEG; None
            without one.
    """

    kind: EventKind
    position: int
    phrase: str = ""
    parent: int | None = None


@dataclass(frozen=True)
class Target:
    """One thing that a query asked for or an answer named: found, or absent.

    Attributes:
        phrase: What it is called.
        kind: "segmented", or "absent" for what is not in the image.
        mask: (H, W) bool at the size of the asked image; all False when kind is "absent".
        logits: (H, W) float32 mask logits before the threshold at 0; None when kind is "absent".
        mean_probability: Mean of sigmoid(logits) inside the mask, uncalibrated; NaN for an empty mask.
        probability: That it is there, as the model's token for it tells; NaN where nothing tells.
        coarse: (H, W) float32 logits of the coarse mask that a two-step answer began with; None without one.
    """

    phrase: str
    kind: TargetKind
    mask: np.ndarray
    logits: np.ndarray | None = None
    mean_probability: float = float("nan")
    probability: float = float("nan")
    coarse: np.ndarray | None = None


@dataclass(frozen=True)
class SegmentationResult:
    """Answer to one query about one image.

    answer: generated text without mask tokens; "" in mask-only mode.
    targets: one per mask token, in the order of the text; empty when the model grounded nothing.
    seconds: wall time per stage, keys among "encode", "prefill", "generate", "decode_masks", "total".
    truncated: the answer reached the token limit before its end.
    seg_probability: probability of the [SEG] token at the position the first mask was read from (mask-only mode: the
        refusal score); NaN when no mask token was considered.
    """

    query: str
    answer: str
    targets: tuple[Target, ...]
    seconds: dict[str, float] = field(default_factory=dict)
    truncated: bool = False
    seg_probability: float = float("nan")

    @property
    def union_mask(self) -> np.ndarray | None:
        """(H, W) bool union of the targets' masks; None when there are no targets."""
        if not self.targets:
            return None
        return np.logical_or.reduce([target.mask for target in self.targets])


@dataclass(frozen=True)
class TextDelta:
    """Streaming: `text` was appended to the answer."""

    text: str


@dataclass(frozen=True)
class MaskReady:
    """Streaming: the mask of target number `index` is there, before the answer ends."""

    index: int
    target: Target


@dataclass(frozen=True)
class Finished:
    """Streaming: the last event, with the whole result."""

    result: SegmentationResult


@dataclass(frozen=True)
class TruthTarget:
    """Ground truth of one target. mask: (H, W) bool, or None when the phrase is absent from the image."""

    phrase: str
    mask: np.ndarray | None
    instance_id: int | None = None


@dataclass(frozen=True)
class Turn:
    """One question about an image with its targets.

    answer: the reference answer, `[SEG]` where masks stand. alternatives: other wordings of the question.
    """

    question: str
    targets: tuple[TruthTarget, ...]
    answer: str
    kind: str = ""
    is_sentence: bool = False
    alternatives: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sample:
    """One image with questions.

    image: (H, W, 3) uint8 RGB; None for a dialogue about no picture. turns: a tuple, or a sequence that makes each turn
    when it is taken. ignore: (H, W) bool, pixels left out of loss and score.
    """

    image: np.ndarray | None
    turns: Sequence[Turn]
    source: str = ""
    ignore: np.ndarray | None = None
