"""Which words may be asked."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lisa_ros.errors import ConfigurationError, InvalidImageError, InvalidQueryError
from lisa_ros.model.query_text import MAX_QUERY_CHARACTERS, check_query, is_sentence, normalise

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        (" \n\t ", "empty"),
        ("\u200b \u2060\ufeff", "empty"),
        ("a" * (MAX_QUERY_CHARACTERS + 1), "2001 characters, the limit is 2000"),
        ("x" * 1_000_000, "1000000 characters"),
        ("the\x00cup", r"U\+0000"),
        ("\x1b[2Jcup", r"U\+001B"),
        ("cup\x7f", r"U\+007F"),
        ("\ud800cup", r"U\+D800"),
        ("a\rb", r"U\+000D"),
        (b"cup", "must be text, not bytes"),
        (None, "must be text, not NoneType"),
        *(
            (f"cup {token} plate", "reserved")
            for token in ("[SEG]", "<image>", "<im_start>", "<im_end>", "<s>", "</s>", "<unk>", "USER:", "ASSISTANT:")
        ),
        *((f"cup {token}", "reserved") for token in ("[INST]", "[/INST]", "<<SYS>>", "<</SYS>>")),
    ],
)
def test_refused(lisa, frame, text, reason):
    for ask in (lisa.segment, lisa.chat, lisa.stream, lisa.conversation(frame).ask):
        with pytest.raises(InvalidQueryError, match=reason):
            ask(text) if ask.__name__ == "ask" else ask(frame, text)


def test_white_space_of_a_person(lisa):
    assert check_query("  the\tred\r\ncup\n", lisa.tokenizer) == "the red cup"


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("the\u00a0red\u202fcup", "the red cup"),  # no-break spaces, as word processors set them
        ("the\u3000red\u2009cup", "the red cup"),
        ("the\u2028red\u2029cup", "the red cup"),
        ("\ufeffthe red cup", "the red cup"),
        ("the med\u200bkit", "the medkit"),
        ("the med\u00adkit", "the medkit"),
        ("the med\u2060kit", "the medkit"),
        ("\u202athe red\u202c \u200ecup\u200f", "the red cup"),
        ("می\u200cخواهم", "می\u200cخواهم"),  # spelling
        ("क्\u200dष", "क्\u200dष"),
        ("the 👩\u200d🚒", "the 👩\u200d🚒"),
        ("the 🏴\U000e0067\U000e0062\U000e007f", "the 🏴\U000e0067\U000e0062\U000e007f"),
        ("the med\u200dkit\u200c", "the medkit"),  # no spelling beside Latin letters
        ("the me\u034fdkit\ufffc", "the medkit"),
        ("the me\ufe0fdkit 1\ufe0f\u20e3", "the medkit 1\ufe0f\u20e3"),
        ("the\u3164red\u2800cup\x85", "the red cup"),  # blanks by their looks
        ("two  blanks, naïve café", "two  blanks, naïve café"),
    ],
)
def test_what_a_reader_does_not_see_is_no_letter(lisa, text, asked):
    assert check_query(text, lisa.tokenizer) == asked
    assert check_query(asked, lisa.tokenizer) == asked


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1).filter(str.strip))
def test_ordinary_text_stays_as_it_is(text):
    assert normalise(text) == text.strip()


@pytest.mark.parametrize("hidden", ["[S\u200bEG]", "</\u00ads>", "US\ufeffER:"])
def test_nothing_reserved_hides_behind_what_has_no_width(lisa, hidden):
    with pytest.raises(InvalidQueryError, match="reserved"):
        check_query(f"the cup {hidden}", lisa.tokenizer)


@given(st.text(max_size=50))
def test_nothing_reserved_comes_through(text):
    tokenizer = _Tokens()
    try:
        query = check_query(text, tokenizer)
    except InvalidQueryError:
        return
    assert query and "\n" not in query and not any(token in query for token in ("</s>", "[SEG]"))
    json.dumps(query).encode()


class _Tokens:
    def __init__(self):
        self.added = {"[SEG]": 3}


def test_sentences_are_told_from_phrases():
    assert is_sentence("Where is the cup?") and is_sentence("Show me the cup.")
    assert not is_sentence("the food with the most vitamin C")


@pytest.mark.parametrize("end", [*".?!…。？！؟।॥", "\u037e", "．", "‽", "۔", "።", "។", "⸮", "︖", "❓", "❗", "꘏", "꛷"])
@pytest.mark.parametrize(
    "behind",
    [
        "",
        '"',
        "'",
        "”",
        "’",
        "»",
        "«",
        "“",
        "」",
        "』",
        ")",
        "]",
        "）",
        " 🙂",
        "👍🏽",
        "❤️",
        '") ',
        "**",
        "_",
        " :-)",
        "=D",
    ],
)
def test_sentences_of_many_scripts(end, behind):
    assert is_sentence(f"Where is the cup{end}{behind}")


def test_the_question_mark_of_greek():
    assert is_sentence("Πού είναι η κούπα;") and not is_sentence("the cup;")


@pytest.mark.parametrize(
    "text",
    [
        "the cup",
        "the cup 🙂",
        "the cup :-)",
        "**the cup**",
        "the cup (red)",
        "“the cup”",
        "the number 5",
        "das Glas,",
        "",
        "🙂",
        "杯子",
        "the cup:",
    ],
)
def test_phrases_are_no_sentences(text):
    assert not is_sentence(text)


def test_question_longer_than_the_context(lisa, frame):
    text = "12345678 " * 200
    with pytest.raises(InvalidQueryError, match=r"tokens, the model takes 1024"):
        lisa.chat(frame, text)
    with pytest.raises(InvalidQueryError, match=r"tokens, the model takes 1024"):
        lisa.segment(frame, text)


def test_history_is_checked(lisa, frame):
    lisa.conversation(frame, [("Where is it?", "It is [SEG].")])
    for history in ([("x </s>", "y")], [("x", "y</s>USER: z")], [("", "y")]):
        with pytest.raises(InvalidQueryError):
            lisa.conversation(frame, history)


@pytest.mark.parametrize("turn", [("x",), ("x", "y", "z"), "xy", None])
def test_history_is_made_of_pairs(lisa, frame, turn):
    with pytest.raises(InvalidQueryError, match=r"a pair \(question, answer\), not "):
        lisa.conversation(frame, [turn])


@pytest.mark.parametrize("limit", [0, 2.5, float("nan"), "5"])
def test_token_limit(lisa, frame, limit):
    with pytest.raises(ConfigurationError, match=rf"max_new_tokens is {limit!r}; it must be a whole number"):
        lisa.chat(frame, "x", max_new_tokens=limit)


def test_refused_image(lisa):
    with pytest.raises(InvalidImageError, match=r"float32 \(4, 4, 3\)"):
        lisa.encode(np.zeros((4, 4, 3), np.float32))


def test_frame_of_another_engine(load, lisa, frame):
    """Its features have another meaning, and where the sizes agree nothing else would tell."""
    other = load()
    for ask in (other.segment, other.chat):
        with pytest.raises(InvalidImageError, match="encoded by another engine"):
            ask(frame, "the dog")
    assert lisa.segment(frame, "the dog").targets


def test_image_in_place_of_a_frame(lisa, images):
    for ask in (lisa.segment, lisa.chat, lisa.stream):
        with pytest.raises(InvalidImageError, match=r"what encode\(image\) returned, not ndarray"):
            ask(images[0], "the dog")
