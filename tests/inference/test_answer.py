"""Token ids -> words, while they come."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lisa_ros.inference.answer import AnswerText
from lisa_ros.model.grounding import phrase_before
from lisa_ros.model.tokenizer import LisaTokenizer

pytestmark = pytest.mark.unit
TOKENIZER = LisaTokenizer.from_directory(Path(__file__).parents[1] / "golden" / "c_tiny" / "lisa_hf")


def collect(ids):
    """The pieces, and the whole text."""
    answer = AnswerText(TOKENIZER)
    pieces = [answer.push(id) for id in ids]
    return [*pieces, answer.finish()], answer.text


@given(st.lists(st.integers(0, len(TOKENIZER) + 2), max_size=60))
def test_pieces_join_to_the_text(ids):
    pieces, text = collect(ids)
    assert "".join(pieces) == text
    assert text == text.strip() and "  " not in text and "[SEG]" not in text


@given(
    st.lists(st.sampled_from(["the dog", "Sure,", "It is", "[SEG]", "你好", "café.", "and", "\n", "."]), max_size=12)
)
def test_pieces_never_show_half_a_character(words):
    pieces, text = collect(TOKENIZER.encode(" ".join(words), bos=False))
    assert not any("\ufffd" in piece for piece in pieces)
    assert text.replace(" ", "").replace(",", "") == "".join(words).replace("[SEG]", "").replace(" ", "").replace(
        "\n", ""
    ).replace(",", "")


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("It is the red mug [SEG].", "It is the red mug."),
        ("They are the mug [SEG], the bowl [SEG] and the plate [SEG].", "They are the mug, the bowl and the plate."),
        ("Sure, [SEG].", "Sure."),
        ("Sure, [SEG]", "Sure"),
        ("Sure, it is [SEG]. It lies on the table.", "Sure, it is. It lies on the table."),
        ("[SEG]", ""),
        ("[SEG].", "."),
        ("[SEG] [SEG] two", "two"),
        ("A list:\n1. one\n2. two", "A list: 1. one 2. two"),
        ("a  b", "a b"),
        ("one, two,", "one, two,"),
        ("Sure, the mug:[SEG], the fork:[SEG].", "Sure, the mug, the fork."),
        ("Here it is: [SEG]", "Here it is"),
        ("Two things: [SEG] and [SEG].", "Two things: and."),
    ],
)
def test_text(answer, text):
    assert collect(TOKENIZER.encode(answer, bos=False))[1] == text


def test_words_in_the_place_of_a_token():
    answer = AnswerText(TOKENIZER, words={TOKENIZER.seg_id: "(gone)"})
    pieces = [answer.push(id) for id in TOKENIZER.encode("Sure, a mug:[SEG], two forks [SEG].", bos=False)]
    assert "".join([*pieces, answer.finish()]) == answer.text == "Sure, a mug (gone), two forks (gone)."
    assert answer.phrase == "two forks"


def test_phrase_is_there_when_its_mask_is():
    answer, phrases = AnswerText(TOKENIZER), []
    for id in TOKENIZER.encode("They are the red mug [SEG], the bowl [SEG] and the plate [SEG].", bos=False):
        answer.push(id)
        if id == TOKENIZER.seg_id:
            phrases.append(answer.phrase)
    assert phrases == ["red mug", "bowl", "plate"]


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("It is the red mug", "red mug"),
        ("The mug in red", "mug in red"),
        ("Sure, it is", ""),
        ("Sure, the segmentation result is", ""),
        ("Sure,", ""),
        ("and", ""),
        ("It is hot. The man in the boat", "man in the boat"),
        ("The dog is", "dog"),
        ("the mask of the left shoe is", "left shoe"),
        ("a cup:", "cup"),
        ("a house with 2.5 floors", "house with 2.5 floors"),
        ("", ""),
    ],
)
def test_phrases(text, phrase):
    assert phrase_before(text) == phrase
