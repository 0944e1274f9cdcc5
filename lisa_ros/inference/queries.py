"""The boundary where words from outside enter the prompt."""

import unicodedata
from collections.abc import Iterable

from lisa_ros.errors import InvalidQueryError
from lisa_ros.model.prompts import IM_END, IM_START
from lisa_ros.model.tokenizer import IMAGE_PLACEHOLDER, SEG_TOKEN, LisaTokenizer

MAX_QUERY_CHARACTERS = 2000
# Whoever could write these could end the question, forge an answer or ask for masks that nobody predicted.
_RESERVED = (
    *("<s>", "</s>", "<unk>", IMAGE_PLACEHOLDER, IM_START, IM_END, "<im_patch>", SEG_TOKEN),
    *("USER:", "ASSISTANT:", "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>"),
)
_INVISIBLE = ("Cf", "Zs", "Zl", "Zp")  # marks of direction and joints, blanks: alone they are no words
_SPACES = str.maketrans("\n\t", "  ")


def check_query(text: str, tokenizer: LisaTokenizer | None) -> str:
    """The words as they go into the prompt: newlines and tabs become blanks, blanks at the ends go.

    tokenizer: of the model, for tokens of its own; None where no model is loaded. Raises InvalidQueryError for empty or
    too long text, control characters, and the tokens and separators of prompts.
    """
    query = _clean(text, "query")
    if all(unicodedata.category(character) in _INVISIBLE for character in query):
        raise InvalidQueryError("the query is empty")
    _refuse(query, (*_RESERVED, *(tokenizer.added if tokenizer else ())), "query")
    return query


def check_answer(text: str, tokenizer: LisaTokenizer) -> str:
    """An answer of an earlier turn, as it goes into the prompt; it may hold [SEG]. Raises InvalidQueryError."""
    answer = _clean(text, "answer")
    _refuse(answer.replace(SEG_TOKEN, ""), (*_RESERVED, *tokenizer.added), "answer")
    return answer


def _clean(text: str, what: str) -> str:
    if not isinstance(text, str):
        raise InvalidQueryError(f"the {what} must be text, not {type(text).__name__}")
    if len(text) > MAX_QUERY_CHARACTERS:
        raise InvalidQueryError(f"the {what} has {len(text)} characters, the limit is {MAX_QUERY_CHARACTERS}")
    text = text.replace("\r\n", "\n").translate(_SPACES).strip()
    for character in text:
        if unicodedata.category(character) in ("Cc", "Cs"):
            raise InvalidQueryError(f"the {what} holds the control character U+{ord(character):04X}; remove it")
    return text


def _refuse(text: str, reserved: Iterable[str], what: str) -> None:
    for token in reserved:
        if token in text:
            raise InvalidQueryError(f"the {what} holds {token!r}, which is reserved for the prompt; rephrase it")


def is_sentence(query: str) -> bool:
    """Whether the query asks or tells something, rather than naming a thing: it ends like a sentence."""
    return query.endswith((".", "?", "!"))
