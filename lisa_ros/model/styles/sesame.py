"""SESAME (arXiv 2312.08366): one [SEG] for what a question asks for; what is not there is denied in words.

An answer may correct the question as well and name what is there in the place of the absent thing. Published weights do
so in words alone; trained with `RenderOptions.correction_masks` the correction has a [SEG] of its own.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from lisa_ros.model.styles.base import Style
from lisa_ros.model.styles.denial import Denial, bare, find_denial
from lisa_ros.model.styles.rendering import RenderedTurn, RenderOptions, joined, pick, pick_wording
from lisa_ros.types import SEG, EventKind, TruthTarget, Turn

# The first of each is asked in evaluation. SESAME's own evaluation draws among its questions: no run is like another.
_PHRASE_QUESTIONS = (
    "Is there {text} in this image? If so, segment it; if not, say so, and name what could be meant.",
    "Look for {text}. Give its mask if you find it; otherwise deny it and tell what is there that comes close.",
    "Segment {text} if the image shows it. If it does not, say that it is absent, and what is similar to it.",
    "Does the image contain {text}? Answer with a mask, or explain that it is not there and offer an alternative.",
    "I need the mask of {text}. Should nothing of the kind be visible, tell me, and suggest the nearest thing.",
    "Find {text}: a mask if it exists here, a plain no if it does not, with a likely alternative.",
)
_SENTENCE_QUESTIONS = (
    "{text} Segment it if it is in this image; if not, say so, and name what could be meant.",
    "{text} Answer with a mask, or say that the image does not show it.",
    "{text} Give the mask; if the question supposes what is not there, correct it.",
    "{text} Show it by a mask. If nothing fits, tell me why.",
)
_PHRASE_ANSWERS = (
    "Yes, {text} is here: [SEG].",
    "I found {text}, its mask is [SEG].",
    "The image shows {text} [SEG].",
    "Here is {text}: [SEG].",
    "Sure, [SEG].",
)
_SENTENCE_ANSWERS = ("It is [SEG].", "The answer is [SEG].", "Sure, it is this: [SEG].", "This fits: [SEG].")
_DENIALS = (
    "There is no {text} in this image.",
    "I cannot find {text} in this image.",
    "No {text} here.",
    "I see no {text} in this picture.",
    "Sorry, there is no {text} here.",
)
_CORRECTIONS = (
    "There is no {text} in this image; did you mean {alternative}?",
    "I cannot find {text} in this image, but there is {alternative}.",
    "No {text} here; perhaps you mean {alternative}?",
    "I see no {text} in this picture. However, there is {alternative}.",
    "Sorry, there is no {text} here, only {alternative}.",
)
_SEG = "[SEG]"


class SesameStyle(Style):
    """See the module. The conversation template is that of SESAME's evaluation; it was trained with llava_v1."""

    name = "sesame"
    tokens: ClassVar[Mapping[str, EventKind]] = {_SEG: SEG}
    architectures = ("SESAMEForCausalLM",)
    conv_type = "vicuna_v1"
    corrects = True
    mask_query: ClassVar[Mapping[str, str]] = {"phrase": _PHRASE_QUESTIONS[0], "sentence": _SENTENCE_QUESTIONS[0]}

    def denial(self, answer: str) -> Denial | None:
        """See Style."""
        return find_denial(answer, _SEG)

    def render(
        self, turns: Sequence[Turn], options: RenderOptions, rng: np.random.Generator
    ) -> tuple[tuple[RenderedTurn, ...], ...]:
        """See Style: every question is a conversation of its own; several masks of one question are joined.

        What is absent is answered by the data set's own answer, if it has one, else denied; where the data set names
        what is there in its place, that is offered.
        """
        return tuple((self._turn(turn, options, rng),) for turn in turns)

    def _turn(self, turn: Turn, options: RenderOptions, rng: np.random.Generator) -> RenderedTurn:
        text = pick_wording(turn, options, rng)
        text = text if turn.is_sentence else text.strip().lower()
        question = pick(_SENTENCE_QUESTIONS if turn.is_sentence else _PHRASE_QUESTIONS, rng).format(text=text)
        target = joined(turn)
        if target.mask is not None:
            answer = pick(_SENTENCE_ANSWERS if turn.is_sentence else _PHRASE_ANSWERS, rng).format(text=text)
            return RenderedTurn(question, answer, (target,))
        alternative = next((one.alternative for one in turn.targets if one.alternative), None)
        if turn.answer and _SEG not in turn.answer:  # words of its own, not what stands for a mask
            return RenderedTurn(question, turn.answer)
        if alternative is None:
            return RenderedTurn(question, pick(_DENIALS, rng).format(text=bare(text)))
        return _corrected(question, bare(text), alternative, options.correction_masks, rng)


def _corrected(
    question: str, text: str, alternative: TruthTarget, with_mask: bool, rng: np.random.Generator
) -> RenderedTurn:
    with_mask = with_mask and alternative.mask is not None and bool(alternative.mask.any())
    named = f"{alternative.phrase} {_SEG}" if with_mask else alternative.phrase
    answer = pick(_CORRECTIONS, rng).format(text=text, alternative=named)
    return RenderedTurn(question, answer, (alternative,) if with_mask else ())
