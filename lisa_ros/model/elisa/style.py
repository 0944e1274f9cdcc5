"""How ELISA asks and answers: masks are words of the answer, in its order."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from lisa_ros.model.elisa.rendering import ElisaWording, render_turn
from lisa_ros.model.elisa.tokenizer import MASK_WORD, MASK_WORDS
from lisa_ros.model.styles.base import Style
from lisa_ros.model.styles.rendering import RenderedTurn, RenderOptions, explanation, pick_wording
from lisa_ros.types import SEG, EventKind, Turn

STYLE_NAMES = ("elisa", "elisa_paper")


class ElisaStyle(Style):
    """The corrected system: nothing is squashed, and what is not this image's cannot be said.

    Its tokens are the words for masks, of which an image has as many as it has candidates. Questions are asked as they
    are; only the generated answer tells whether something is there.
    """

    name = "elisa"
    tokens: ClassVar[Mapping[str, EventKind]] = {
        MASK_WORD.format(number=number).strip(): SEG for number in range(1, MASK_WORDS + 1)
    }
    mask_query: ClassVar[Mapping[str, str]] = {"phrase": "Where is {text}?", "sentence": "{text}"}
    # Masks are embedded beside the image in a square frame; False squashes both, as the official code does.
    letterbox: ClassVar[bool] = True
    # Padding rows of the vocabulary cannot be said.
    closed: ClassVar[bool] = True
    # In training, answers that begin with a mask keep its blank; else the chat template takes it, and the word with it.
    exact: ClassVar[bool] = True

    def presence(self, logits: Tensor, kinds: Mapping[int, EventKind]) -> float:
        """Probability that some mask comes next: all candidates' together, among all tokens."""
        return float(torch.softmax(logits.float(), dim=0)[list(kinds)].sum())

    def render(
        self, turns: Sequence[Turn], options: RenderOptions, rng: np.random.Generator
    ) -> tuple[tuple[RenderedTurn, ...], ...]:
        """See Style: every question is a conversation of its own, with a word for each target, numbered from 1."""
        wording, rendered = ElisaWording(), []
        for turn in turns:
            targets = tuple(target for target in turn.targets if target.mask is not None)
            text = pick_wording(turn, options, rng)
            question, answer = render_turn(
                text, explanation(turn), range(1, len(targets) + 1), wording, lambda: float(rng.random()),
                lambda count: int(rng.integers(count)),
            )  # fmt: skip
            rendered.append((RenderedTurn(question, answer, targets),))
        return tuple(rendered)


class ElisaPaperStyle(ElisaStyle):
    """The official code's choices, quirks included: for comparison with its numbers."""

    name = "elisa_paper"
    letterbox = False
    closed = False
    exact = False


def elisa_style(name: str | None) -> ElisaStyle | None:
    """The preset of that name, the corrected one for None; None for another system's."""
    return {None: ElisaStyle(), "elisa": ElisaStyle(), "elisa_paper": ElisaPaperStyle()}.get(name)
