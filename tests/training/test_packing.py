"""Packing several conversations about one image gives what each gives alone."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaModel

from training.tabletop.packing import IGNORE_INDEX, PADDING_BLOCK, PackedConversation, pack

pytestmark = pytest.mark.unit

SEG = 7
BEFORE, VISUAL, AFTER = [1, 4], 6, [5]
tokens = st.lists(st.integers(8, 40), min_size=1, max_size=6)
conversations = st.builds(
    lambda prompt, answer: PackedConversation(prompt, [*answer, SEG, 2], [0]),
    prompt=tokens,
    answer=st.lists(st.integers(8, 40), max_size=3),
)


@pytest.fixture(scope="module")
def language_model():
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, vocab_size=48
    )
    return LlamaModel(config).eval()


@settings(max_examples=15)
@given(talks=st.lists(st.lists(conversations, min_size=1, max_size=4), min_size=1, max_size=3))
def test_packed_states_equal_those_of_separate_sequences(language_model, talks):
    packed = pack(BEFORE, VISUAL, AFTER, talks, SEG)
    with torch.no_grad():
        together = language_model(
            inputs_embeds=language_model.embed_tokens(packed.ids),
            attention_mask=packed.attention_mask(),
            position_ids=packed.positions,
        ).last_hidden_state
        seg_states = iter(packed.states.tolist())
        for image, row in enumerate(talks):
            for block, talk in enumerate(row, start=1):
                ids = torch.tensor([[*BEFORE, *[0] * VISUAL, *AFTER, *talk.prompt, *talk.answer]])
                alone = language_model(input_ids=ids).last_hidden_state[0, len(BEFORE) + VISUAL + len(AFTER) :]
                torch.testing.assert_close(together[image, packed.blocks[image] == block], alone, atol=1e-5, rtol=1e-5)
                at, position = next(seg_states)
                assert (at, int(packed.ids[at, position + 1])) == (image, SEG)
    assert next(seg_states, None) is None


@settings(max_examples=25)
@given(talks=st.lists(st.lists(conversations, min_size=1, max_size=4), min_size=1, max_size=3))
def test_labels_are_the_answers_and_nothing_else(talks):
    packed = pack(BEFORE, VISUAL, AFTER, talks, SEG)
    for image, row in enumerate(talks):
        told = packed.labels[image] != IGNORE_INDEX
        assert packed.labels[image][told].tolist() == [token for talk in row for token in talk.answer]
        assert (packed.blocks[image][told] != PADDING_BLOCK).all()


def test_padding_of_a_short_row_changes_nothing(language_model):
    short, long = PackedConversation([9, 10], [11, SEG, 2], [0]), PackedConversation([12] * 9, [13, SEG, 2], [1])
    alone, together = (pack(BEFORE, VISUAL, AFTER, rows, SEG) for rows in ([[short]], [[short], [long]]))
    states = []
    for packed in (alone, together):
        with torch.no_grad():
            hidden = language_model(
                inputs_embeds=language_model.embed_tokens(packed.ids),
                attention_mask=packed.attention_mask(),
                position_ids=packed.positions,
            ).last_hidden_state
        states.append(hidden[0, packed.states[0, 1]])
    torch.testing.assert_close(*states)
