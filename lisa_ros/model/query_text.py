"""The boundary where words from outside enter the prompt."""

import re
import unicodedata
from collections.abc import Iterable

from lisa_ros.errors import InvalidQueryError
from lisa_ros.model.prompts import IM_END, IM_START
from lisa_ros.model.tokenizer import IMAGE_PLACEHOLDER, SEG_TOKEN, LisaTokenizer

MAX_QUERY_CHARACTERS = 2000
MAX_PHRASES = 64  # of one query
# Whoever could write these could end the question, forge an answer or ask for masks that nobody predicted.
_RESERVED = (
    *("<s>", "</s>", "<unk>", IMAGE_PLACEHOLDER, IM_START, IM_END, "<im_patch>", SEG_TOKEN),
    *("USER:", "ASSISTANT:", "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>"),
)
_INVISIBLE = ("Cf", "Zs", "Zl", "Zp")  # marks of direction and joints, blanks: alone they are no words
# Joiners are spelling in Persian and Indic scripts, joiners and tags make up emoji, and the others are printed.
_SPELLING = {0x200C, 0x200D, *range(0x600, 0x606), 0x6DD, 0x70F, 0x8E2, *range(0xE0020, 0xE0080)}
# Unicode's property Sentence_Terminal in the Basic Multilingual Plane, ellipses, and the emoji of ? and !.
_ENDS = frozenset(
    ".?!…‥‼⁇⁈⁉‽。．｡？！﹒﹖﹗︒︕︖⸮⸼⹓⹔❓❔❗❕\u037e։՜՞؝؞؟۔܀܁܂߹࠷࠹࠽࠾।॥၊။።፧፨᙮᜵᜶។៕᠃᠉᥄᥅᪨᪩᪪᪫᭚᭛᭞᭟᭽᭾"
    "᰻᰼᱾᱿⳹⳺⳻꓿꘎꘏꛳꛷꡶꡷꣎꣏꤯꧈꧉꩝꩞꩟꫰꫱꯫"
)
_QUOTES = "\"'`*_~"  # and what Markdown stresses with
_EMOTICON = re.compile(r"[:;=][-o^']?[)(DPp]+\s*$")
_GREEK = re.compile(r"[\u0370-\u03ff\u1f00-\u1fff]")
# Blanks that Unicode calls letters or symbols, and what has no width or no picture and is no mark of format.
_BLANKS = {0x115F, 0x1160, 0x2800, 0x3164, 0xFFA0}
_NOTHING = {0x34F, 0xFFFC}
# Joiners are spelling between letters of Persian and Indic scripts and in emoji, and nothing beside Latin ones; what
# chooses the look of an emoji is nothing behind a letter.
_LOST_JOINER = re.compile(r"(?<![^\x00-\u024f])[\u200c\u200d]|[\u200c\u200d](?![^\x00-\u024f])")
_LOST_SELECTOR = re.compile(r"(?<=[^\W\d])[\ufe00-\ufe0f]")
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
    if text.isascii() and text.isprintable():
        return text.strip()
    seen = "".join(map(_seen, text))
    return _LOST_SELECTOR.sub("", _LOST_JOINER.sub("", seen)).strip()


def _seen(character: str) -> str:
    kind = unicodedata.category(character)
    if kind in ("Zs", "Zl", "Zp") or character in "\n\t\x85" or ord(character) in _BLANKS:
        return " "
    has_no_width = (kind == "Cf" and ord(character) not in _SPELLING) or ord(character) in _NOTHING
    return "" if has_no_width else character


def _refuse(text: str, reserved: Iterable[str], what: str) -> None:
    for token in reserved:
        if token in text:
            raise InvalidQueryError(f"the {what} holds {token!r}, which is reserved for the prompt; rephrase it")


def is_sentence(query: str) -> bool:
    """Whether the query asks or tells something, rather than naming a thing: it ends like a sentence.

    Closing quotes and brackets, blanks, emoji and emoticons may stand behind its end.
    """
    query = _EMOTICON.sub("", query)
    for character in reversed(query):
        if character in _ENDS or (character == ";" and _GREEK.search(query)):  # Greek's question mark
            return True
        if character not in _QUOTES and unicodedata.category(character) not in (*_CLOSING, *_PICTURES):
            return False
    return False
