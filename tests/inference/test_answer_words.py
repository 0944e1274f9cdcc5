"""Answers of whole words: nothing is spelled that the list and the prompt do not have."""

import re

import pytest
import torch

from lisa_ros import Lisa
from lisa_ros.errors import ConfigurationError
from lisa_ros.inference.answer_words import AnswerWords
from lisa_ros.simulator import generate_scene

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def lisa():
    return Lisa.from_pretrained("tabletop", device="cpu")


def wanted(tokenizer, *texts):
    """Logits that prefer these tokens, one step after the other; the others are equal."""
    ids = [id for text in texts for id in tokenizer.encode(text, bos=False)]
    return ids, [torch.nn.functional.one_hot(torch.tensor(id), len(tokenizer)).float() for id in ids]


def answer(tokenizer, words, prompt, *texts):
    """What is generated where the model prefers these texts, one after the other."""
    progress = AnswerWords(tokenizer, words).progress(tokenizer.encode(prompt))
    ids = [progress.choose(logits) for logits in wanted(tokenizer, *texts)[1]]
    return tokenizer.decode(ids, skip_special_tokens=True)


def test_allowed_words_pass_as_they_are(lisa):
    tokenizer = lisa.tokenizer
    for text in ("The mug in red [SEG].", "The mug is not here.", "the mug, the mug and the mug."):
        ids, logits = wanted(tokenizer, text)
        words = AnswerWords(tokenizer, ["the", "mug", "in", "red", "is", "not", "here", "and"])
        progress = words.progress(tokenizer.encode("Where?"))
        assert [progress.choose(one) for one in logits] == ids
        assert progress.choose(torch.eye(len(tokenizer))[tokenizer.eos_id]) == tokenizer.eos_id


def test_a_word_that_was_begun_is_finished(lisa):
    assert len(lisa.tokenizer.encode("oven", bos=False)) > 2  # else it could not be cut
    pieces = lisa.tokenizer.encode("oven", bos=False)
    progress = AnswerWords(lisa.tokenizer, ("the", "is")).progress(lisa.tokenizer.encode("Is there an oven?"))
    logits = torch.zeros(len(lisa.tokenizer))
    for piece in pieces[:-1]:
        assert progress.choose(logits + torch.eye(len(logits))[piece]) == piece
    (of,) = lisa.tokenizer.encode("is", bos=False)
    assert progress.choose(logits + torch.eye(len(logits))[of]) == pieces[-1]  # "ove is" cannot be said


def test_other_words_cannot_be_said(lisa):
    said = answer(lisa.tokenizer, ("the", "mug"), "the fork", "the guitar and the zebra")
    assert set(re.findall(r"\w+", said)) <= {"the", "The", "mug", "Mug", "fork"}


def test_the_packaged_model_invents_no_word(lisa):
    words = set(lisa.network.config.answer_words)
    frame = lisa.encode(generate_scene(4).image)
    questions = ["Where is the saxophone?", "the flarnop", "THE OVENS", "all mugs", "bring me the typewriter, please"]
    alone = [lisa.chat(frame, question, max_new_tokens=24).answer for question in questions]
    together = [result.answer for result in lisa.chat_batch(frame, questions, max_new_tokens=24)]
    assert alone == together
    for question, text in zip(questions, alone, strict=True):
        said = {word.lower() for word in re.findall(r"\w+", text)}
        assert said and said <= words | {word.lower() for word in re.findall(r"\w+", question)}
    assert alone[3].endswith(".") and alone[3].count("mug") <= 4  # the end of a sentence is no word


@pytest.mark.parametrize("word", ["Mug", "two words", "", 3])
def test_words_of_the_configuration_are_checked(lisa, word):
    from dataclasses import replace

    with pytest.raises(ConfigurationError, match="answer_words"):
        replace(lisa.network.config, answer_words=("mug", word))
