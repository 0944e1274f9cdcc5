"""Every instance has a [SEG] of its own, as in LISA++ (arXiv 2312.17240): a mask for each mug, not one of them all."""

from collections.abc import Sequence

import numpy as np

from lisa_ros.model.styles.lisa import ABSENT_ANSWERS, LisaStyle
from lisa_ros.model.styles.rendering import RenderedTurn, RenderOptions, explanation, pick, pick_wording
from lisa_ros.types import TruthTarget, Turn

MOST_INSTANCES = 20  # of one answer; what has more of them is asked for as a whole
WHOLE_SHARE = 0.25  # of the questions that could be asked for instances, those that ask for one mask of all of them
_PHRASE_QUESTIONS = (
    "Please segment each {text} in this image by itself.",
    "Give every {text} in this image a mask of its own.",
    "Which instances of {text} are there? Answer with one mask for each.",
    "Segment all instances of {text}, one after the other.",
)
_SENTENCE_QUESTIONS = (
    "{text} Please output one mask for each instance.",
    "{text} Give each thing that is meant a mask of its own.",
)
_ONE_ANSWERS = ("There is one: [SEG].", "It is [SEG].", "I find a single one, [SEG].")
_SEVERAL_ANSWERS = ("There are {count}: {masks}.", "I find {count} of them, {masks}.", "They are {masks}.")


class InstanceStyle(LisaStyle):
    """LISA's style, and questions whose answer lists the instances from left to right.

    A query for a phrase has one mask, as in LISA's style; `Lisa.chat` with a question for each instance has one target
    for each.
    """

    name = "instances"
    architectures = ()

    def render(
        self, turns: Sequence[Turn], options: RenderOptions, rng: np.random.Generator
    ) -> tuple[tuple[RenderedTurn, ...], ...]:
        """See Style: every question is a conversation of its own, for instances or as in LISA's style for one mask."""
        mode = self._mode(turns, options, rng)
        return tuple(
            (
                (self._instances(turn, options, rng),)
                if _is_listed(turn, rng)
                else (self._turn(turn, mode, options, rng),)
            )
            for turn in turns
        )

    @staticmethod
    def _instances(turn: Turn, options: RenderOptions, rng: np.random.Generator) -> RenderedTurn:
        text = pick_wording(turn, options, rng)
        if turn.is_sentence:
            question = pick(_SENTENCE_QUESTIONS, rng).format(text=text)
        else:
            question = pick(_PHRASE_QUESTIONS, rng).format(text=text.lower())
        targets = sorted(_present(turn), key=_centre)
        if not targets:
            return RenderedTurn(question, pick(ABSENT_ANSWERS, rng))
        if len(targets) == 1:
            return RenderedTurn(question, pick(_ONE_ANSWERS, rng), tuple(targets))
        masks = f"{', '.join(['[SEG]'] * (len(targets) - 1))} and [SEG]"
        return RenderedTurn(
            question, pick(_SEVERAL_ANSWERS, rng).format(count=len(targets), masks=masks), tuple(targets)
        )


def _is_listed(turn: Turn, rng: np.random.Generator) -> bool:
    """Whether a turn is asked for instances. Drawn for every turn, so that one does not move the draws of the next."""
    whole = rng.random() < WHOLE_SHARE
    return not whole and not explanation(turn) and len(_present(turn)) <= MOST_INSTANCES


def _present(turn: Turn) -> list[TruthTarget]:
    return [target for target in turn.targets if target.mask is not None]


def _centre(target: TruthTarget) -> float:
    """Middle of the columns that it covers; 0 for one without pixels."""
    columns = np.flatnonzero(target.mask.any(0))
    return float(columns.mean()) if len(columns) else 0.0
