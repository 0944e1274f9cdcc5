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
# Joiners are spelling in Persian and Indic scripts, joiners and tags make up emoji, and the others are printed.
_SPELLING = {0x200C, 0x200D, *range(0x600, 0x606), 0x6DD, 0x70F, 0x8E2, *range(0xE0020, 0xE0080)}
_ENDS = frozenset(".?!…‥‼⁇⁈⁉‽。．｡？！﹒﹖﹗؟۔।॥\u037e։՜՞።፧။។៕᠃᠉꓿᙮")
_QUOTES = "\"'`"
_CLOSING = ("Pe", "Pf", "Pi")  # brackets and quotes; an opening quote of one language closes in another
_PICTURES = ("So", "Sk", "Cf", "Mn", "Me", *_INVISIBLE)  # emoji with their modifiers and joints


def check_query(text: str, tokenizer: LisaTokenizer | None) -> str:
    """The words as they go into the prompt, see `normalise`.

    tokenizer: of the model, for tokens of its own; None where no model is loaded. Raises InvalidQueryError for empty or
    too long text, control characters, and the tokens and separators of prompts.
    """
    query = _clean(text, "query")
    if all(unicodedata.category(character) in _INVISIBLE for character in query):
        raise InvalidQueryError("the query is empty")
    _refuse(query, (*_RESERVED, *(tokenizer.added if tokenizer else ())), "query")
    return query


def check_answer(text: str, tokenizer: LisaTokenizer, grounding: Iterable[str] = (SEG_TOKEN,)) -> str:
    """An answer of an earlier turn, as it goes into the prompt. Raises InvalidQueryError.

    grounding: tokens of the model's style, which an answer may hold.
    """
    answer = _clean(text, "answer")
    words = answer
    for token in grounding:
        words = words.replace(token, "")
    _refuse(words, (*_RESERVED, *tokenizer.added), "answer")
    return answer


def _clean(text: str, what: str) -> str:
    if not isinstance(text, str):
        raise InvalidQueryError(f"the {what} must be text, not {type(text).__name__}")
    if len(text) > MAX_QUERY_CHARACTERS:
        raise InvalidQueryError(f"the {what} has {len(text)} characters, the limit is {MAX_QUERY_CHARACTERS}")
    text = normalise(text)
    for character in text:
        if unicodedata.category(character) in ("Cc", "Cs"):
            raise InvalidQueryError(f"the {what} holds the control character U+{ord(character):04X}; remove it")
    return text


def normalise(text: str) -> str:
    """Text as a reader sees it: every blank is a plain one, what has no width is gone, blanks at the ends go.

    A tokenizer takes no-break spaces, zero-width spaces, soft hyphens, byte order marks and marks of direction for
    letters, so that the word they stand in is no word any more. Ordinary text stays as it is.
    """
    text = text.replace("\r\n", "\n")
    return text.strip() if text.isascii() and text.isprintable() else "".join(map(_seen, text)).strip()


def _seen(character: str) -> str:
    kind = unicodedata.category(character)
    if kind in ("Zs", "Zl", "Zp") or character in "\n\t":
        return " "
    return "" if kind == "Cf" and ord(character) not in _SPELLING else character


def _refuse(text: str, reserved: Iterable[str], what: str) -> None:
    for token in reserved:
        if token in text:
            raise InvalidQueryError(f"the {what} holds {token!r}, which is reserved for the prompt; rephrase it")


def is_sentence(query: str) -> bool:
    """Whether the query asks or tells something, rather than naming a thing: it ends like a sentence.

    Closing quotes and brackets, blanks and emoji may stand behind its end.
    """
    for character in reversed(query):
        if character in _ENDS:
            return True
        if character not in _QUOTES and unicodedata.category(character) not in (*_CLOSING, *_PICTURES):
            return False
    return False
