"""GSVA (arXiv 2312.10103): one question for many phrases, each answered with its own [SEG] or, if absent, [REJ]."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np

from lisa_ros.model.styles.base import QueryPrompt, Style
from lisa_ros.model.styles.lisa import ANSWERS, LisaStyle, question_for
from lisa_ros.model.styles.rendering import RenderedTurn, RenderOptions, explanation, joined, pick, pick_wording
from lisa_ros.types import REJ, SEG, EventKind, TruthTarget, Turn

# Several phrases in one question, in lower case.
_QUESTIONS = (
    "What are {text} in this image? Please output segmentation masks.",
    "Which pixels show {text}?",
    "Find {text} and give a mask for each.",
    "Please segment each of these in the image: {text}.",
)
# Opening of the answer, and one item of its list. The first is what evaluation expects.
_ANSWERS = (
    ("Sure,", "{text}:{token}"),
    ("Here they are: ", "{text}:{token}"),
    ("These are the masks: ", "{text} {token}"),
    ("", "the mask of {text} is {token}"),
    ("In this image, ", "{text} is {token}"),
)
# What may stand around an item: openings of the published answers and of these, and what an item is called.
_AROUND_ITEM = re.compile(
    r"(?:sure\b,?\s*)?(?:(?:here )?they are\b:?|these are the masks\b:?|in this image\b,?|it is\b|"
    r"the segmentation results? (?:are|is)\b)?\s*(?:and )?(?:the (?:mask|segmentation)s? of )?"
    r"(.*?)(?:\s*\b(?:is|are))?",
    re.IGNORECASE | re.DOTALL,
)


class GsvaStyle(Style):
    """See the module. A sentence is one question with one token, as in LISA's style."""

    name = "gsva"
    tokens: ClassVar[Mapping[str, EventKind]] = {"[SEG]": SEG, "[REJ]": REJ}
    architectures = ("LisaGSVAForCausalLM",)
    strips_added_tokens = False
    words: ClassVar[Mapping[EventKind, str]] = {REJ: "(not in the image)"}
    # The questions of the official evaluation, blanks as they are there.
    mask_query: ClassVar[Mapping[str, str]] = {
        "phrase": " What are {text}in this image? Please output segmentation masks.",
        "sentence": LisaStyle.mask_query["sentence"],
    }

    def query_prompts(
        self,
        phrases: Sequence[str],
        mask_query: Mapping[str, str],
        *,
        sentence: bool = False,
        present: Sequence[bool] | None = None,
    ) -> list[QueryPrompt]:
        """See Style: one question for all phrases."""
        present = [True] * len(phrases) if present is None else present
        if sentence:
            question = mask_query["sentence"].replace("{text}", phrases[0])
            return [QueryPrompt(question, tuple(phrases), _token(present[0]))]
        words = [_plain(phrase) for phrase in phrases]
        question = mask_query["phrase"].replace("{text}", ", ".join(words))
        return [QueryPrompt(question, tuple(phrases), _answer(_ANSWERS[0], list(zip(words, present, strict=True))))]

    def turn_prompt(self, text: str, mask_query: Mapping[str, str], *, sentence: bool) -> QueryPrompt:
        """See Style: a phrase by itself is asked as LISA asks it."""
        asked = text if sentence else f"What is {text} in this image?"
        (prompt,) = self.query_prompts([asked], mask_query, sentence=True)
        return replace(prompt, phrases=(text,))

    def forced_kind(self, expected: EventKind, argmax: EventKind | None) -> EventKind:
        """See Style: any other token than the expected one counts as the other decision, whatever it is."""
        if argmax == expected:
            return expected
        return REJ if expected == SEG else SEG

    def phrase(self, text: str) -> str:
        """See Style: an item of the list, as it was asked for."""
        return _AROUND_ITEM.fullmatch(text.strip(" \t\n,.;:"))[1].strip()

    def render(
        self, turns: Sequence[Turn], options: RenderOptions, rng: np.random.Generator
    ) -> tuple[tuple[RenderedTurn, ...], ...]:
        """See Style: all phrases in one question; each sentence, and what has an explanation, by itself.

        Samples of which everything is absent are rendered like any other.
        """
        if all(explanation(turn) for turn in turns):
            return LISA.render(turns, options, rng)
        conversations = [(_sentence(turn, options, rng),) for turn in turns if turn.is_sentence]
        named = [(pick_wording(turn, options, rng), joined(turn)) for turn in turns if not turn.is_sentence]
        if named:
            conversations.append((_list(named, rng),))
        return tuple(conversations)


LISA = LisaStyle()


def _plain(phrase: str) -> str:
    """As phrases are asked for: in lower case, without blanks and full stops around them."""
    return phrase.strip().lower().strip().strip(".") or phrase


def _token(present: bool) -> str:
    return "[SEG]" if present else "[REJ]"


def _answer(form: tuple[str, str], items: Sequence[tuple[str, bool]]) -> str:
    opening, item = form
    listed = ", ".join(item.format(text=phrase, token=_token(present)) for phrase, present in items)
    answer = f"{opening}{listed}."
    return answer[0].upper() + answer[1:] if not opening else answer


def _sentence(turn: Turn, options: RenderOptions, rng: np.random.Generator) -> RenderedTurn:
    target = joined(turn)
    question = question_for(pick_wording(turn, options, rng), True, rng)
    answer = pick(ANSWERS, rng) if target.mask is not None else "[REJ]."
    return RenderedTurn(question, answer, (target,))


def _list(named: Sequence[tuple[str, TruthTarget]], rng: np.random.Generator) -> RenderedTurn:
    phrases = [_plain(phrase) for phrase, _ in named]
    targets = tuple(target for _, target in named)
    question = pick(_QUESTIONS, rng).format(text=", ".join(phrases))
    items = [(phrase, target.mask is not None) for phrase, target in zip(phrases, targets, strict=True)]
    return RenderedTurn(question, _answer(_ANSWERS[rng.integers(len(_ANSWERS))], items), targets)
