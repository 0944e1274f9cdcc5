"""Answers in English that say what is not in the image, and what is there in its place: read back from their words."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

_DENIALS = frozenset(
    """no not none nothing nobody never neither nor without cannot can't couldn't isn't aren't wasn't don't doesn't
    didn't won't unable absent missing unavailable""".split()  # noqa: SIM905
)
_APOSTROPHES = str.maketrans("\u2019\u2018", "''")
_ARTICLE = re.compile(r"^(?:a|an|the|any|some|such|such an?|sign of|sign of an?)\s+", re.IGNORECASE)

# What is denied: the words behind a "no", behind a verb that finds nothing, or before "is not".
_PLACE = r"(?:(?:in|on|within|of) (?:the|this) (?:image|picture|photo|scene|view)|here|there|to be (?:seen|found))\b"
_STATE = r"(?:is|are|was|were|can be|could be|exists?|appears?|visible)\b"
_TURN = r"(?:but|though|although|however|only|instead)\b"
_END = rf"(?<!\bwho)(?<!\bthat)(?<!\bwhich)(?=\s*(?:[.,;:!?]|$|\[|\b{_TURN}|{_PLACE}|{_STATE}))"
_VERBS = "see|find|detect|locate|spot|segment|identify|make out|recogni[sz]e"
_NOUN = r"(?P<what>[^.,;:!?\[\]]*?[^.,;:!?\[\]\s])"
_SUBJECT = rf"(?:^|[.;:!?,]\s*)(?:(?:unfortunately|sorry|actually|no)\b,?)?\s*{_NOUN}"
_IS = r"(?:is|are|was|were|seems|appears)(?: to be)?"
_SHOWN = rf"(?:present|visible|shown|found|in sight|{_PLACE})"
_SAYS = (
    r"(?:^|[.;:!?,]\s*|"
    r"\b(?:there (?:is|are|was|were)|i (?:can )?(?:see|find|spot)|(?:image|picture) (?:has|shows|contains)) )"
)
# Only what denies that something is there: "it is not full" and "it has no handle" are no denials.
_FORMS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"\b(?:can't|cannot|can not|couldn't|could not|don't|do not|didn't|did not|unable to|not able to)"
        rf" (?:{_VERBS}) {_NOUN}{_END}",
        rf"\bthere (?:isn't|aren't|is not|are not) {_NOUN}{_END}",
        rf"{_SAYS}(?:(?:sorry|unfortunately),? )?no (?!problem|doubt|idea|need|worries){_NOUN}{_END}",
        rf"{_SUBJECT} (?:{_IS} not|isn't|aren't|wasn't|weren't) {_SHOWN}",
        rf"{_SUBJECT} {_IS} (?:absent|missing|nowhere)\b",
        rf"{_SUBJECT} (?:does not|doesn't|do not|don't) (?:exist|appear|seem to be)\b",
    )
)
_NOTHING = re.compile(r"(?:\bnothing\b|\bnone\b|^no\W*$)", re.IGNORECASE)
# What stands in its place: the words behind an offer, up to the end of its clause.
_OFFER = re.compile(
    r"\b(?:(?:did|do) you (?:perhaps |maybe )?mean|(?:perhaps|maybe|possibly)(?: you mean(?:t)?| it is)?|"
    r"(?:but |however,? |instead,? )?(?:there (?:is|are)|i (?:can )?see)(?: only)?|but(?: only)?|only|instead)\s+"
    r"(?P<what>[^.,;:!?\[\]]+)(?P<token>\s*\[SEG\])?",
    re.IGNORECASE,
)
_TRAILING = re.compile(rf"\s+(?:{_PLACE}|instead|though|is (?:here|there)|are (?:here|there))\W*$", re.IGNORECASE)
_PRONOUNS = frozenset("that this it there they these those such one".split())  # noqa: SIM905


@dataclass(frozen=True)
class Denial:
    """What an answer says is not in the image.

    Attributes:
        phrase: What is not there, without its article; "" where the answer does not name it.
        correction: What the answer offers in its place, "" for nothing.
        has_mask: Whether the first grounding token of the answer belongs to the correction; else it is words alone.
    """

    phrase: str
    correction: str = ""
    has_mask: bool = False


def words_of(text: str) -> list[str]:
    """The words of a text, in lower case."""
    return re.findall(r"\w+(?:'\w+)?", text.lower().translate(_APOSTROPHES))


def without(words: Sequence[str], phrases: Sequence[str]) -> list[str]:
    """The words but for each occurrence of a phrase as a whole."""
    words = list(words)
    for phrase in map(words_of, phrases):
        start = 0
        while phrase and start <= len(words) - len(phrase):
            if words[start : start + len(phrase)] == phrase:
                del words[start : start + len(phrase)]
            else:
                start += 1
    return words


def denies(answer: str, asked: Sequence[str] = ()) -> bool:
    """Whether an answer says that something is not there.

    Args:
        answer: Generated text.
        asked: Phrases of the question; their words deny nothing ("a cup with no handle").
    """
    return any(word in _DENIALS for word in without(words_of(answer), asked))


def bare(phrase: str) -> str:
    """A phrase without its article: "the black cat" is "black cat", as it stands behind a "no"."""
    return _ARTICLE.sub("", phrase.strip()).strip()


def find_denial(answer: str, token: str) -> Denial | None:
    """What an answer says is not there, before its first mask; None where it says nothing of the kind.

    Args:
        answer: Generated text with its grounding tokens.
        token: Text of the token that a mask is decoded from.
    """
    text = re.sub(r"\s+", " ", answer.translate(_APOSTROPHES)).replace(token, "[SEG]").strip()
    before, found, _ = text.partition("[SEG]")
    matches = [match for form in _FORMS if (match := form.search(before))]
    if not matches:
        return Denial("") if _NOTHING.search(before) and not found else None
    denied = min(matches, key=lambda match: (_is_pronoun(match["what"]), match.start("what"), -match.end()))
    offer = _OFFER.search(text, denied.end("what"))
    offered = bool(offer and offer["token"]) and text[: offer.end()].count("[SEG]") == 1
    if found and not offered:
        return None  # the first mask is not offered in the place of what the answer denies
    correction = _cut(offer["what"]) if offer else ""
    phrase = bare(_cut(denied["what"]))
    return Denial("" if _is_pronoun(phrase) else phrase, correction, offered)


def _is_pronoun(words: str) -> bool:
    return words.strip().lower() in _PRONOUNS


def _cut(words: str) -> str:
    return _TRAILING.sub("", words.strip()).strip()
