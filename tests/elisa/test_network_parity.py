"""Tokens, rows and logits of the network against ELISA's official code."""

import pytest
import torch
from torch.testing import assert_close

from lisa_ros.model.elisa.tokenizer import ElisaTokenizer

pytestmark = pytest.mark.unit


def close(found, expected, tolerance=1e-5):
    assert_close(torch.as_tensor(found).detach(), torch.as_tensor(expected), atol=tolerance, rtol=0)


def test_parity_of_tokens(golden):
    recorded, tokenizer = golden.json("prompts"), golden.checkpoint.tokenizer
    for one in recorded["strings"]:
        assert tokenizer.encode(one["text"]) == one["ids"]
        assert [tokenizer.bos_id, *tokenizer.encode(one["text"])] == one["ids_with_special"]
        # Older libraries show the words for masks with a plain blank.
        tokens = [token.replace("\u2581<SEG", " <SEG") for token in tokenizer._base.convert_ids_to_tokens(one["ids"])]
        assert tokens == [token.replace("\u2581<SEG", " <SEG") for token in one["tokens"]]
        assert tokenizer.decode(one["ids"]) == one["decode"]
    special = recorded["special"]
    assert special == {
        "pad": tokenizer.pad_id,
        "eos": tokenizer._base.eos_token_id,
        "bos": tokenizer.bos_id,
        "unk": tokenizer.unk_id,
        "padding_side": tokenizer._base.padding_side,
        "tokenizer_vocab_size": tokenizer.first_candidate - 1,
        "len_tokenizer_before": tokenizer.first_candidate,
        "len_tokenizer_after": len(tokenizer),
        "image": tokenizer.image_id,
        "start_of_turn": tokenizer.encode("<start_of_turn>")[0],
        "end_of_turn": tokenizer.encode("<end_of_turn>")[0],
        "stop_token_used_by_generate": tokenizer.eos_id,
        "original_vocab_size": golden.checkpoint.network.vocabulary_size,
        "seg_ids": {str(n): tokenizer.first_candidate + n - 1 for n in map(int, special["seg_ids"])},
    }


def test_parity_of_prompts(golden):
    recorded, tokenizer = golden.json("prompts"), golden.checkpoint.tokenizer
    for one in recorded["generation_prompt"]:
        text = tokenizer.render([(f"<image>\n{one['query']}", None)])
        assert (text, tokenizer.encode_prompt(text)) == (one["text"], one["ids"])
    for one in recorded["conversation"]:
        text = tokenizer.render([(one["user"], one["assistant"])])
        assert (text, tokenizer.encode_prompt(text)) == (one["text"], one["ids"])
        label = one["assistant"] + tokenizer.end_of_turn
        assert (label, tokenizer.encode(label)) == (one["label_text"], one["label_ids"])


def test_parity_of_the_mlp_adapter(golden):
    recorded, facts, adapter = golden.arrays("adapter"), golden.json("adapter"), golden.checkpoint.network.adapter
    assert {key: list(value.shape) for key, value in adapter.state_dict().items()} == facts["params"]
    close(adapter.mean, golden.arrays("alphaclip")["mean"], 0)
    for index in range(3):
        close(adapter(torch.from_numpy(recorded[f"in_{index}"])), recorded[f"out_{index}"])
    assert adapter.norm.eps == adapter.input_norm.eps == facts["eps"]
    with torch.no_grad():
        step = torch.from_numpy(recorded["in_0"][:2]) - adapter.mean
        for name, part in (
            ("minus_mean", torch.nn.Identity()), ("input_norm", adapter.input_norm), ("fc1", adapter.mlp[0]),
            ("fc2", adapter.mlp[1:]), ("norm", adapter.norm),
        ):  # fmt: skip
            step = part(step)
            close(step, recorded[f"step_{name}"])


def test_parity_of_the_grown_vocabulary(golden):
    recorded, facts, network = golden.arrays("dynamic_vocab"), golden.json("dynamic_vocab")["single"], None
    network = golden.checkpoint.network
    rows = network.rows(golden.embeddings("images/img0.png")[: facts["K"]])
    close(rows.embedding, recorded["single/new_rows"])
    assert rows.head is rows.embedding
    assert network.vocabulary_size == facts["V_before"]
    first, count, last = network.first_candidate, facts["K"], facts["V_after"]
    assert [first, first + count - 1] == facts["rows_of_candidates"]
    assert last - first - count == facts["n_padding_rows"]
    table = network.llava.get_input_embeddings().weight
    ids = torch.arange(last)[None]
    embedded = network.embed(ids, rows)[0]
    close(embedded[network.image_id], recorded["single/row_image_token"], 0)
    close(embedded[:first], table[:first].detach(), 0)
    close(embedded[first : first + count], rows.embedding.detach(), 0)
    close(embedded[first + count :], table[first:].detach(), 0)


@pytest.mark.parametrize("count", [4, 6])
def test_parity_of_teacher_forced_logits(golden, count):
    recorded, text = golden.arrays("dynamic_vocab"), golden.json("dynamic_vocab")["teacher_forced"]["text"]
    checkpoint = golden.checkpoint
    ids = checkpoint.tokenizer.encode_prompt(text)
    assert ids == recorded[f"teacher_forced_K{count}/input_ids"][0].tolist()
    with torch.no_grad():
        rows = checkpoint.network.rows(golden.embeddings("images/img0.png")[:count])
        visual = checkpoint.network.visual_tokens(checkpoint.preprocess(golden.image("images/img0.png")))
        expanded = torch.tensor([checkpoint.tokenizer.expand_image(ids, visual.shape[1])])
        hidden = checkpoint.network.hidden_states(checkpoint.network.splice(expanded, visual, rows))
        close(checkpoint.network.logits(hidden, rows), recorded[f"teacher_forced_K{count}/logits"], 1e-4)


def test_padding_rows_cannot_be_said_unless_officially(golden):
    network = golden.checkpoint.network
    hidden = torch.randn(3, network.hidden_size)
    rows = network.rows(golden.embeddings("images/img0.png")[:2])
    behind = network.first_candidate + 2
    assert network.logits(hidden, rows)[:, behind:].isfinite().all()
    network.closed = True
    try:
        logits = network.logits(hidden, rows)
    finally:
        network.closed = False
    assert (logits[:, behind:] == -torch.inf).all() and logits[:, :behind].isfinite().all()


def test_no_query_may_hold_marks_of_the_template(golden):
    tokenizer: ElisaTokenizer = golden.checkpoint.tokenizer
    for mark in ("<start_of_turn>", "<end_of_turn>", "<image>", "<bos>", "<eos>", "<SEG_MASK_"):
        assert mark in tokenizer.added
