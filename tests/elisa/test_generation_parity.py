"""Generated answers with their masks, step by step, against ELISA's official code."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from lisa_ros.inference.generation import decode_step, prefill

pytestmark = pytest.mark.unit


def close(found, expected, tolerance=1e-5):
    assert_close(torch.as_tensor(found).detach(), torch.as_tensor(expected), atol=tolerance, rtol=0)


def cases(golden):
    return golden.json("generate")["cases"].items()


def union_of(golden, case):
    picture = Image.open(golden.directory / "golden" / case["union_mask"]).convert("L")
    return np.array(picture) > 0


def test_parity_of_prefill(golden):
    recorded, case = golden.arrays("generate"), golden.json("generate")["cases"]["one_mask"]
    checkpoint = golden.checkpoint
    pixels = checkpoint.preprocess(golden.image(case["image"]))
    close(pixels, recorded["one_mask/pixel_values"], 0)
    with torch.no_grad():
        close(checkpoint.network.visual_features(pixels), recorded["one_mask/vision_selected"])
        visual = checkpoint.network.visual_tokens(pixels)
        close(visual, recorded["one_mask/projected"])
        rows = checkpoint.network.rows(golden.embeddings(case["image"])[: case["K"]])
        ids = checkpoint.tokenizer.expand_image(case["ids"][: case["prompt_len"]], visual.shape[1])
        embeddings = checkpoint.network.splice(torch.tensor([ids]), visual, rows)
        close(embeddings, recorded["one_mask/prefill_inputs_embeds"])
        hidden = checkpoint.network.hidden_states(embeddings)
        close(hidden, recorded["one_mask/prefill_hidden"])
        assert checkpoint.network.logits(hidden, rows).shape[2] == recorded["one_mask/prefill_logits_shape"][2]
    assert recorded["one_mask/prefill_position_ids"][0].tolist() == list(range(len(ids)))
    assert recorded["one_mask/prefill_attention_mask"].all()


def test_parity_of_every_step(golden):
    """All steps of all answers, by one pass over each; ids under the repetition penalty by its rule."""
    recorded, checkpoint = golden.arrays("generate"), golden.checkpoint
    for name, case in cases(golden):
        if f"{name}/step_logits" not in recorded.files:
            continue
        with torch.no_grad():
            visual = checkpoint.network.visual_tokens(checkpoint.preprocess(golden.image(case["image"])))
            rows = checkpoint.network.rows(golden.embeddings(case["image"])[: case["K"]])
            text = checkpoint.tokenizer.render([(f"<image>\n{case['query']}", None)])
            prompt = checkpoint.tokenizer.encode_prompt(text)
            assert prompt == case["ids"][: case["prompt_len"]]
            ids = checkpoint.tokenizer.expand_image(case["ids"][:-1], visual.shape[1])
            hidden = checkpoint.network.hidden_states(checkpoint.network.splice(torch.tensor([ids]), visual, rows))
            hidden = hidden[0, -len(case["new_ids"]) :]
            logits = checkpoint.network.logits(hidden, rows)
        close(hidden, recorded[f"{name}/step_hidden"])
        close(logits, recorded[f"{name}/step_logits"], 1e-4)
        penalty = case["kwargs"]["repetition_penalty"]
        for step, row in enumerate(logits):
            said = torch.tensor(sorted(set(case["ids"][: case["prompt_len"] + step])))
            row[said] = torch.where(row[said] < 0, row[said] * penalty, row[said] / penalty)
        assert logits.argmax(-1).tolist() == case["new_ids"]


def test_parity_of_answers_and_masks(golden):
    """The engine with its cache, from the image and the masks on."""
    greedy = [
        (name, case)
        for name, case in cases(golden)
        if case["kwargs"]["repetition_penalty"] == 1 and case["kwargs"]["n_beams"] == 1
    ]
    assert greedy
    for name, case in greedy:
        frame = golden.lisa.encode(golden.image(case["image"]), golden.proposals(case["image"], case["K"]))
        close(frame.embeddings, golden.embeddings(case["image"])[: case["K"]])
        kwargs = case["kwargs"]
        result = golden.lisa.chat(frame, case["query"], max_new_tokens=kwargs["max_new_tokens"])
        assert [target.candidate.index + 1 for target in result.targets] == case["emission_order_1based"], name
        assert sorted({t.candidate.index for t in result.targets}) == case["chosen_tokens_0based"]
        assert sorted({t.candidate.index + 1 for t in result.targets}) == case["selected_1based"]
        assert result.truncated == (len(case["new_ids"]) == kwargs["max_new_tokens"])
        masks = golden.proposals(case["image"], case["K"]).masks
        union = masks[case["chosen_tokens_0based"]].any(axis=0)
        assert np.array_equal(union, union_of(golden, case)) and union.sum() == case["union_area"]
        text = golden.lisa.tokenizer.decode(case["new_ids"])
        assert text == case["text"]


def beam_search(logits_of, beams: int, limit: int, eos: int) -> list[int]:
    """The best answer by its mean log-probability; an answer is kept when it ends, its place goes to the next best.

    logits_of: answer so far -> logits (V,) of what comes next. It ends where no open answer can be better any more.
    """
    running, ended = [((), 0.0)], []
    for length in range(1, limit + 1):
        grown = []
        for said, score in running:
            following = score + logits_of(said).log_softmax(-1)
            grown += [((*said, int(id)), float(following[id])) for id in following.topk(2 * beams).indices]
        grown = sorted(grown, key=lambda one: -one[1])[: 2 * beams]
        ended += [(score / length, said) for said, score in grown[:beams] if said[-1] == eos]
        ended = sorted(ended, reverse=True)[:beams]
        running = [one for one in grown if one[0][-1] != eos][:beams]
        if len(ended) == beams and ended[-1][0] >= running[0][1] / length:
            break
    return list(max(ended + [(score / limit, said) for said, score in running])[1])


@torch.no_grad()
def test_parity_of_beams(golden):
    """Answers are greedy in the product; what beams would choose among follows from the same logits."""
    network, tokenizer = golden.checkpoint.network, golden.checkpoint.tokenizer
    for name, case in cases(golden):
        kwargs = case["kwargs"]
        if kwargs["n_beams"] == 1:
            continue
        visual = network.visual_tokens(golden.checkpoint.preprocess(golden.image(case["image"])))
        rows = network.rows(golden.embeddings(case["image"])[: case["K"]])

        def logits_of(said, case=case, visual=visual, rows=rows):
            ids = tokenizer.expand_image([*case["ids"][: case["prompt_len"]], *said], visual.shape[1])
            hidden = network.hidden_states(network.splice(torch.tensor([ids]), visual, rows))
            return network.logits(hidden[0, -1], rows)

        found = beam_search(logits_of, kwargs["n_beams"], kwargs["max_new_tokens"], tokenizer.eos_id)
        assert found == case["new_ids"], name
        assert tokenizer.decode(found) == case["text"]
        chosen = {id - tokenizer.first_candidate for id in found if id >= tokenizer.first_candidate}
        assert sorted(chosen) == case["chosen_tokens_0based"]


def test_parity_of_a_cache_with_the_whole_pass(golden):
    """What the cache computes token by token is what one pass over all of them computes."""
    recorded = golden.arrays("generate")
    for name, case in cases(golden):
        if case["kwargs"]["repetition_penalty"] != 1 or f"{name}/step_hidden" not in recorded.files:
            continue
        frame = golden.lisa.encode(golden.image(case["image"]), golden.proposals(case["image"], case["K"]))
        # Of the recorded embeddings: the adapter's norms make a hundred times more of a difference in the last digit.
        frame = replace(frame, rows=golden.lisa.network.rows(golden.embeddings(case["image"])[: case["K"]]))
        model = golden.lisa.model.about(frame)
        ids = golden.lisa.tokenizer.expand_image(case["ids"], frame.visual.shape[1])
        start = len(ids) - len(case["new_ids"])
        cache, hidden = prefill(model.network, ids[:start], frame.visual, frame.prefix)
        for step in range(len(case["new_ids"])):
            close(hidden[0], recorded[f"{name}/step_hidden"][step])
            hidden = decode_step(model.network, ids[start + step], cache)


def test_parity_of_the_whole_pipeline(golden):
    """From pictures: answers with proposals alone and with the truth behind them."""
    for case in golden.json("pipeline")["cases"].values():
        masks = [
            np.array(Image.open(golden.directory / "golden" / name).convert("L")) == 255 for name in case["proposals"]
        ]
        proposals = golden.proposals(case["image"], len(masks))
        assert np.array_equal(proposals.masks, np.stack(masks))
        frame = golden.lisa.encode(golden.image(case["image"]), proposals)
        result = golden.lisa.chat(frame, case["query"], max_new_tokens=100)
        assert sorted({target.candidate.index for target in result.targets}) == case["chosen_tokens"]


def test_the_candidate_of_a_target_is_the_token_that_was_said(golden):
    """Also where two candidates are the same mask."""
    case = golden.json("generate")["cases"]["one_mask"]
    twice = golden.proposals(case["image"], case["K"])
    doubled = type(twice)(twice.height, twice.width, (*twice.items, *twice.items))
    frame = golden.lisa.encode(golden.image(case["image"]), doubled)
    (target,) = golden.lisa.chat(frame, case["query"]).targets
    assert target.candidate.index == case["chosen_tokens_0based"][0]
