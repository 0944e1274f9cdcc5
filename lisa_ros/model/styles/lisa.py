"""LISA's own style: one [SEG] for all that a question asks for; what is absent is answered in words."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from lisa_ros.model.styles.base import Style
from lisa_ros.model.styles.rendering import (
    MASK_ANSWER,
    RenderedTurn,
    RenderOptions,
    explanation,
    joined,
    pick,
    pick_wording,
)
from lisa_ros.types import SEG, EventKind, Turn

# A phrase or class name, in lower case. Published weights know these sentences: another wording is a new task.
PHRASE_QUESTIONS = (
    "Can you segment the {text} in this image?",
    "Please segment the {text} in this image.",
    "What is {text} in this image? Please respond with segmentation mask.",
    "What is {text} in this image? Please output segmentation mask.",
)
# A whole sentence, as it is.
SENTENCE_QUESTIONS = (
    "{text} Please respond with segmentation mask.",
    "{text} Please output segmentation mask.",
)
EXPLAIN_QUESTIONS = (
    "{text} Please output segmentation mask and explain why.",
    "{text} Please output segmentation mask and explain the reason.",
    "{text} Please output segmentation mask and give some explanation.",
)
ANSWERS = (
    "It is [SEG].",
    "Sure, [SEG].",
    "Sure, it is [SEG].",
    "Sure, the segmentation result is [SEG].",
    "[SEG].",
)
# What is not in the image. LISA was never taught to refuse; these are this project's own.
ABSENT_ANSWERS = (
    "That is not in this image.",
    "I cannot find that in this image.",
    "There is nothing like that in this image.",
)
_PLAIN, _EXPLAIN, _TEXT = range(3)


class LisaStyle(Style):
    """See the module. Validation and mask-only queries expect the answer "[SEG]."."""

    name = "lisa"
    tokens: ClassVar[Mapping[str, EventKind]] = {"[SEG]": SEG}
    architectures = ("LISAForCausalLM",)
    answers: ClassVar[tuple[str, ...]] = ANSWERS  # of training
    expected_answer = MASK_ANSWER
    # The questions of the official validation. The leading blank is part of them.
    mask_query: ClassVar[Mapping[str, str]] = {
        "phrase": " What is {text} in this image? Please output segmentation mask.",
        "sentence": " {text} Please output segmentation mask.",
    }

    def render(
        self, turns: Sequence[Turn], options: RenderOptions, rng: np.random.Generator
    ) -> tuple[tuple[RenderedTurn, ...], ...]:
        """See Style: every question is a conversation of its own; several masks of one question are joined."""
        mode = self._mode(turns, options, rng)
        return tuple((self._turn(turn, mode, options, rng),) for turn in turns)

    @staticmethod
    def _mode(turns: Sequence[Turn], options: RenderOptions, rng: np.random.Generator) -> int:
        if not all(explanation(turn) for turn in turns):
            return _PLAIN
        return _TEXT if rng.random() < options.text_answers else int(rng.integers(2))

    def _turn(self, turn: Turn, mode: int, options: RenderOptions, rng: np.random.Generator) -> RenderedTurn:
        text = pick_wording(turn, options, rng)
        target = joined(turn)
        if target.mask is None:
            return RenderedTurn(question_for(text, turn.is_sentence, rng), pick(ABSENT_ANSWERS, rng))
        if mode == _TEXT:
            return RenderedTurn(text, explanation(turn))
        if mode == _EXPLAIN:
            asked = pick(EXPLAIN_QUESTIONS, rng).format(text=text)
            return RenderedTurn(asked, f"{pick(self.answers, rng)} {explanation(turn)}", (target,))
        return RenderedTurn(question_for(text, turn.is_sentence, rng), pick(self.answers, rng), (target,))


def question_for(text: str, is_sentence: bool, rng: np.random.Generator) -> str:
    """A question for the mask of a phrase or sentence."""
    if is_sentence:
        return pick(SENTENCE_QUESTIONS, rng).format(text=text)
    return pick(PHRASE_QUESTIONS, rng).format(text=text.lower())
