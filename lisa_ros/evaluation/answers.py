"""Whether the words of an answer about a tabletop scene are right."""

import re
from collections import Counter

from lisa_ros.simulator.palette import COLOURS
from lisa_ros.simulator.shapes import CATEGORIES

_COLOUR, _CATEGORY = "|".join(COLOURS), "|".join(CATEGORIES)
_OBJECT = re.compile(rf"\b(?:({_COLOUR}) ({_CATEGORY})|({_CATEGORY}) in ({_COLOUR}))\b")
_WORD = re.compile(rf"\b({_COLOUR}|{_CATEGORY})s?\b")
_DENIAL = re.compile(r"\b(no|not|none|nothing)\b")


def normalised(answer: str) -> str:
    """Lower case, without mask tokens, blanks collapsed and none before punctuation."""
    words = re.sub(r"\s+", " ", answer.replace("[SEG]", " ")).strip().lower()
    return re.sub(r" ([.,;:!?])", r"\1", words)


def names_exactly(answer: str, phrases: tuple[str, ...]) -> bool:
    """Whether the answer names each of the phrases ("red mug") as often as it occurs, and no other object or colour.

    "red mug" and "mug in red" are the same.
    """
    text = normalised(answer)
    named = Counter(f"{before or after} {behind or first}" for before, behind, first, after in _OBJECT.findall(text))
    return named == Counter(phrases) and not _WORD.search(_OBJECT.sub("", text))


def denies(answer: str) -> bool:
    """Whether the answer says that something is not there."""
    return bool(_DENIAL.search(normalised(answer)))
