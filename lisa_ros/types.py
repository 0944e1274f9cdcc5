"""Plain data that every floor of the package shares. No torch, no rclpy: arrays are numpy."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from lisa_ros.geometry.proposals import Proposals

SEGMENTED = "segmented"
ABSENT = "absent"
LOST = "lost"
FALSE_PREMISE = "false_premise"
TargetKind = Literal["segmented", "absent", "lost"]
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
class Candidate:
    """A proposed mask that a system chose.

    Attributes:
        index: Its place among the proposals of the image.
        score: What it was chosen by, the higher the better.
        members: Places of all proposals that its target's mask is the union of; a message of ROS does not tell them.
    """

    index: int
    score: float
    members: tuple[int, ...] = ()


@dataclass(frozen=True)
class MaskFeatures:
    """What a mask looks like where its model is sure, and where it is not; all of them 0 to 1, of the mask's logits.

    Attributes:
        largest_share: Share of the mask's pixels in its largest 8-connected part.
        compactness: Share of that part in its convex hull: 1 without dents, low for what is frayed.
        stability: IoU of the masks at thresholds of +1 and -1 on the logits, segment-anything's stability score: low
            where the outline is a matter of the threshold.
    """

    largest_share: float
    compactness: float
    stability: float


@dataclass(frozen=True)
class Target:
    """One thing that a query asked for or an answer named: found, or absent.

    Attributes:
        phrase: What it is called.
        kind: "segmented", "absent" for what is not in the image, "lost" for what was followed and is not seen any more.
        mask: (H, W) bool at the size of the asked image; all False unless kind is "segmented".
        logits: (H, W) float32 mask logits before the threshold at 0; None without them: kind is not "segmented", or the
            mask was moved from an earlier image.
        mean_probability: Mean of sigmoid(logits) inside the mask, uncalibrated; NaN for an empty mask.
        probability: That it is there, as the model's token for it tells; NaN where nothing tells.
        quality: Calibrated probability that the mask is right, see `lisa_ros.inference.quality`; NaN where the
            checkpoint has no calibration, and without logits.
        features: What `quality` is made of, beside the probabilities; None without logits above 0.
        coarse: (H, W) float32 logits of the coarse mask that a two-step answer began with; None without one.
        correction: What the answer names in the place of an absent target ("did you mean the phone?"), "" for nothing.
        alternative: The target of the correction, where the answer has its mask; None for words alone.
        candidate: The best of the proposals that the mask was chosen from; None where it was drawn.
        id: Number of a followed target, the same in every result about it; 0 for one that is not followed.
    """

    phrase: str
    kind: TargetKind
    mask: np.ndarray
    logits: np.ndarray | None = None
    mean_probability: float = float("nan")
    probability: float = float("nan")
    quality: float = float("nan")
    features: MaskFeatures | None = None
    coarse: np.ndarray | None = None
    correction: str = ""
    alternative: "Target | None" = None
    candidate: Candidate | None = None
    id: int = 0


@dataclass(frozen=True)
class SegmentationResult:
    """Answer to one query about one image.

    Attributes:
        query: The query as it was asked.
        answer: Generated text without mask tokens; "" in mask-only mode.
        targets: One per mask token, in the order of the text; empty when the model grounded nothing.
        seconds: Wall time per stage in s, keys among "encode", "prefill", "generate", "decode_masks", "total".
        truncated: Whether the answer reached the token limit before its end.
        seg_probability: Probability of the [SEG] token at the position from which the first mask was read (in mask-only
            mode the score of a refusal); NaN when no mask token was considered.
        reason: Why the image cannot have a target, whatever is asked; "" where it can.
    """

    query: str
    answer: str
    targets: tuple[Target, ...]
    seconds: dict[str, float] = field(default_factory=dict)
    truncated: bool = False
    seg_probability: float = float("nan")
    reason: str = ""

    @property
    def union_mask(self) -> np.ndarray | None:
        """(H, W) bool union of the targets' masks; None when there are no targets."""
        if not self.targets:
            return None
        return np.logical_or.reduce([target.mask for target in self.targets])

    @property
    def absence(self) -> str:
        """What is not in the image, in words, with what the answer offers in its place; "" where all is there."""
        absent = [target for target in self.targets if target.kind == ABSENT]
        named = [
            (target.phrase or "the object") + (f" (perhaps {target.correction})" if target.correction else "")
            for target in absent
        ]
        return f"not in the image: {', '.join(named)}" if named else ""


@dataclass(frozen=True)
class TextDelta:
    """Streaming event: text was appended to the answer.

    Attributes:
        text: The new part of the answer.
    """

    text: str


@dataclass(frozen=True)
class MaskReady:
    """Streaming event: a mask is available before the answer ends.

    Attributes:
        index: Number of the target, from 0.
        target: The target with its mask.
    """

    index: int
    target: Target


@dataclass(frozen=True)
class Finished:
    """Streaming event: the last one.

    Attributes:
        result: The whole result.
    """

    result: SegmentationResult


@dataclass(frozen=True)
class TruthTarget:
    """Ground truth of one target.

    Attributes:
        phrase: What the target is called.
        mask: (H, W) bool, or None when the phrase is absent from the image.
        instance_id: Number of the object in its data set, None without one.
        parts: Masks that `mask` is the union of, where the data set has them apart; () for none.
        alternative: For an absent phrase, what the image shows instead, if the data set says so ("did you mean ...?").
    """

    phrase: str
    mask: np.ndarray | None
    instance_id: int | None = None
    parts: tuple[np.ndarray, ...] = ()
    alternative: "TruthTarget | None" = None


@dataclass(frozen=True)
class Turn:
    """One question about an image with its targets.

    Attributes:
        question: The question or phrase.
        targets: What it asks for; empty in a dialogue.
        answer: The reference answer, with `[SEG]` where masks belong.
        kind: Category of the question in its data set; FALSE_PREMISE for one that is known to ask for something absent.
        is_sentence: Whether the question is a whole sentence and not a phrase to put into one.
        alternatives: Other wordings of the question.
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

    Attributes:
        image: (H, W, 3) uint8 RGB; None for a dialogue without an image.
        turns: A tuple, or a sequence that makes each turn when it is taken.
        source: Name of the data set.
        ignore: (H, W) bool, pixels that are excluded from loss and score; None for none.
        proposals: Masks that a system may choose among; None for one that draws masks, or makes its proposals itself.
    """

    image: np.ndarray | None
    turns: Sequence[Turn]
    source: str = ""
    ignore: np.ndarray | None = None
    proposals: "Proposals | None" = None


class LazyTurns(Sequence[Turn]):
    """Turns that are made when they are taken: a picture can have dozens of masks, of which training takes three.

    Args:
        count: Number of turns.
        build: Makes turn `i`; it is called for every access.
    """

    def __init__(self, count: int, build: Callable[[int], Turn]) -> None:
        self._count, self._build = count, build

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int | slice) -> Turn | tuple[Turn, ...]:
        numbers = range(self._count)[index]
        return tuple(map(self._build, numbers)) if isinstance(index, slice) else self._build(numbers)
