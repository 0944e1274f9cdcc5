"""What styles make of samples for training, and what their renderings share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from lisa_ros.types import TruthTarget, Turn

MASK_ANSWER = "[SEG]."  # what a reader's answer begins with; what follows explains


@dataclass(frozen=True)
class RenderedTurn:
    """A question and its answer as a network is trained on them.

    Attributes:
        question: Words of the question, without what stands for the image.
        answer: The answer with its grounding tokens.
        targets: One for each target token ([SEG], [REJ]) of the answer, in its order; absent ones belong to [REJ].
    """

    question: str
    answer: str
    targets: tuple[TruthTarget, ...] = ()


@dataclass(frozen=True)
class RenderOptions:
    """Choices in how samples are rendered for training.

    Attributes:
        text_answers: Of samples with an explanation, the share that is asked for words alone, without a mask.
        paraphrases: Further wordings of a question.
        correction_masks: Answers that name what is there in the place of an absent thing have a [SEG] for it; only in a
            style that corrects.
    """

    text_answers: float = 0.1
    paraphrases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    correction_masks: bool = False


def pick(choices: Sequence[str], rng: np.random.Generator) -> str:
    """One of the choices, each as likely."""
    return choices[rng.integers(len(choices))]


def pick_wording(turn: Turn, options: RenderOptions, rng: np.random.Generator) -> str:
    """One of the wordings of a turn's question."""
    wordings = (turn.question, *turn.alternatives, *options.paraphrases.get(turn.question, ()))
    return pick(wordings, rng) if len(wordings) > 1 else turn.question


def explanation(turn: Turn) -> str:
    """What a reader's answer says beyond the mask; "" for nothing."""
    return turn.answer[len(MASK_ANSWER) :].strip() if turn.answer.startswith(MASK_ANSWER) else ""


def joined(turn: Turn) -> TruthTarget:
    """All targets of a turn as one; its mask is None when every one of them is absent."""
    masks = [target.mask for target in turn.targets if target.mask is not None]
    return TruthTarget(turn.question, np.logical_or.reduce(masks) if masks else None)
