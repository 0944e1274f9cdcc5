"""The two ways to ask a model, never mixed in one score."""

from typing import Protocol

from lisa_ros.inference.engine import EncodedFrame, Lisa
from lisa_ros.types import SegmentationResult, Turn


class Predictor(Protocol):
    """Answers a turn about an encoded image."""

    mode: str
    lisa: Lisa

    def __call__(self, frame: EncodedFrame, turn: Turn) -> SegmentationResult: ...


class TeacherForced:
    """The paper's validation: the answer is taken to be "[SEG].", so that the mask is there whatever would be said.

    By causality this is the mask-only query. A checkpoint whose `seg_threshold` is above 0 (none of the published ones)
    may still refuse.
    """

    mode = "teacher_forced"

    def __init__(self, lisa: Lisa) -> None:
        self.lisa = lisa

    def __call__(self, frame: EncodedFrame, turn: Turn) -> SegmentationResult:
        return self.lisa.segment(frame, turn.question, sentence=turn.is_sentence)


class Generative:
    """What a robot gets: the masks of the answer that the model writes to the same question, all of them together."""

    mode = "generative"

    def __init__(self, lisa: Lisa) -> None:
        self.lisa = lisa

    def __call__(self, frame: EncodedFrame, turn: Turn) -> SegmentationResult:
        wording = self.lisa.network.config.mask_query["sentence" if turn.is_sentence else "phrase"]
        return self.lisa.chat(frame, wording.replace("{text}", turn.question))


PREDICTORS = {predictor.mode: predictor for predictor in (TeacherForced, Generative)}
