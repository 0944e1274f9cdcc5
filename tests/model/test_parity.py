"""The network on the CPU in float32, equal to the official code within rounding."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lisa_ros.inference.generation import decode_step, greedy_token, prefill
from lisa_ros.model.grounding import find_events, state_positions
from lisa_ros.model.preprocess import upscale_logits

pytestmark = pytest.mark.unit
CLOSE = {"atol": 1e-4, "rtol": 1e-5}


def assert_logits(computed, expected, name):
    """Within 1e-4, or the rounding of float32 where logits are large.

    At a size of 15, the official result itself differs by 2e-4 from that of the same network in float64.
    """
    atol = max(1e-4, 2e-5 * np.abs(expected).max(initial=0))
    np.testing.assert_allclose(computed, expected, atol=atol, rtol=0, err_msg=name)


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.inference_mode():
        yield


def cases(variant, kind=""):
    return [case for case in variant.json("evaluate") if case["case"].startswith(kind)]


def expanded(variant, case, name="output_ids"):
    """Ids of the golden sequence, and the number of visual tokens."""
    ids = variant.arrays("evaluate")[f"{case['case']}/{name}"][0].tolist()
    return ids, variant.lisa.tokenizer.expand_image(ids, variant.meta["num_image_tokens"])


def cached_pass(variant, case):
    """States that predict each new token, from the engine's own steps: prompt prefill, then one token at a time."""
    lisa, frame = variant.lisa, variant.frame(case["image"])
    _, prompt = expanded(variant, case, "input_ids")
    cache, hidden = prefill(lisa.network, prompt, frame.visual, frame.prefix)
    states = [hidden]
    for id in case["new_ids"][:-1]:
        states.append(decode_step(lisa.network, id, cache))
    return torch.cat(states)


def full_pass(variant, case):
    """Last hidden states (L, hidden_size) of the whole golden sequence at once, without any cache."""
    _, ids = expanded(variant, case)
    network = variant.lisa.network
    embeddings = network.splice(torch.tensor([ids]), variant.frame(case["image"]).visual)
    return network.hidden_states(embeddings)[0]


def masks_of(variant, case, states):
    """Low-resolution and full-size logits of states (n, hidden_size), and their prompt embeddings."""
    head, frame = variant.lisa.network.head, variant.frame(case["image"])
    embeddings = head.embed(states)
    low_res = head.decode(frame.features, embeddings) if len(states) else torch.zeros(0, 1, 1, 1)
    size = variant.meta["sam"]["image_size"]
    return embeddings[:, 0], low_res, upscale_logits(low_res, size, frame.height, frame.width)


def assert_masks(variant, case, states):
    arrays, name = variant.arrays("evaluate"), case["case"]
    embeddings, low_res, full = masks_of(variant, case, states)
    expected = arrays[f"{name}/seg_embeddings"]
    assert len(embeddings) == len(low_res) == len(full) == len(expected) == case["n_seg"]
    np.testing.assert_allclose(embeddings.numpy(), expected, **CLOSE, err_msg=name)
    for kind, computed in (("low_res_masks", low_res), ("pred_masks", full)):
        if len(states) and f"{name}/{kind}" in arrays:
            assert_logits(computed.numpy(), arrays[f"{name}/{kind}"], f"{name} {kind}")


def stored(arrays, name, index, like):
    """The golden array, or `like` with those channels replaced that are stored (`_chK`: every K-th)."""
    if f"{name}_{index}" in arrays:
        return arrays[f"{name}_{index}"]
    (key,) = [key for key in arrays if key.startswith(f"{name}_ch") and key.endswith(f"_{index}")]
    expected = like.copy()
    expected[:, :: int(key.split("_ch")[1].split("_")[0])] = arrays[key]
    return expected


def test_image_features(variant):
    arrays, network = variant.arrays("features"), variant.lisa.network
    for index in range(variant.images):
        frame = variant.frame(index)
        pixels = network.vision_tower.preprocess(variant.image(index))
        computed = {
            "clip_features": network.vision_tower(pixels).numpy(),
            "projected": frame.visual.numpy(),
            "sam_embedding": frame.features.embedding.numpy(),
        }
        for name, value in computed.items():
            np.testing.assert_allclose(value, stored(arrays, name, index, value), **CLOSE, err_msg=name)


def test_position_encoding(variant):
    encoding = variant.lisa.network.sam.dense_position().numpy()
    expected = variant.arrays("features")["sam_dense_pe_ch"]
    np.testing.assert_allclose(encoding[:, :: encoding.shape[1] // expected.shape[1]], expected, **CLOSE)


def test_prompt_ids(variant):
    lisa = variant.lisa
    for case in cases(variant):
        prompt = lisa.model.template.render([(lisa.model.first_question(case["prompt"]), None)])
        assert lisa.tokenizer.encode_prompt(prompt) == expanded(variant, case, "input_ids")[0], case["case"]


def test_hidden_states(variant):
    arrays = variant.arrays("evaluate")
    stored = [case for case in cases(variant) if f"{case['case']}/last_hidden" in arrays]
    assert stored
    for case in stored:
        expected = arrays[f"{case['case']}/last_hidden"][0]
        np.testing.assert_allclose(full_pass(variant, case)[: len(expected)].numpy(), expected, **CLOSE)


def test_seg_positions(variant):
    """[SEG] anywhere: none, one, two, as the last token, inside the user's words."""
    lisa = variant.lisa
    for case in cases(variant):
        ids, _ = expanded(variant, case)
        events = find_events(ids, lisa.model.kinds, lisa.tokenizer)
        positions = state_positions(events, ids, variant.meta["num_image_tokens"])
        assert positions == variant.arrays("evaluate")[f"{case['case']}/seg_positions"][:, 1].tolist(), case["case"]
        assert len(positions) == case["n_seg"]


def test_masks_of_the_teacher_forced_pass(variant):
    for case in cases(variant):
        positions = variant.arrays("evaluate")[f"{case['case']}/seg_positions"][:, 1]
        assert_masks(variant, case, full_pass(variant, case)[positions])


def test_cached_pass_equals_the_teacher_forced_pass(variant):
    for case in cases(variant):
        cached, full = cached_pass(variant, case), full_pass(variant, case)
        start = len(full) - len(case["new_ids"]) - 1
        np.testing.assert_allclose(cached.numpy(), full[start:-1].numpy(), **CLOSE)
        generated = [i for i, id in enumerate(case["new_ids"]) if id == variant.tokenizer.seg_id]
        if len(generated) == case["n_seg"]:  # no [SEG] in the prompt
            assert_masks(variant, case, cached[generated])


def test_greedy_ids(variant):
    """The engine's own loop picks the same tokens."""
    lisa = variant.lisa
    for case in cases(variant, "nat"):
        frame, ids = variant.frame(case["image"]), []
        prompt = lisa.model.prompt_ids(frame, [(lisa.model.first_question(case["prompt"]), None)])
        cache, hidden = prefill(lisa.network, prompt, frame.visual, frame.prefix)
        while True:
            ids.append(greedy_token(lisa.network, hidden)[0])
            if ids[-1] == lisa.tokenizer.eos_id or len(ids) == case["max_new_tokens"]:
                break
            hidden = decode_step(lisa.network, ids[-1], cache)
        assert ids == case["new_ids"], case["case"]


def test_printed_text(variant):
    """What the official chat prints."""
    for case in cases(variant, "nat"):
        text = variant.tokenizer.decode(expanded(variant, case)[0])
        assert text.replace("\n", "").replace("  ", " ") == case["text_output"]


def test_chat(variant):
    for case in cases(variant, "nat"):
        result = variant.lisa.chat(variant.frame(case["image"]), case["prompt"], max_new_tokens=case["max_new_tokens"])
        assert len(result.targets) == case["n_seg"]
        assert result.truncated == (case["new_ids"][-1] != variant.tokenizer.eos_id)
        key = f"{case['case']}/pred_masks"
        if key in variant.arrays("evaluate"):
            for target, expected in zip(result.targets, variant.arrays("evaluate")[key], strict=True):
                assert_logits(target.logits, expected, case["case"])
                np.testing.assert_array_equal(target.mask, target.logits > 0)


def test_mask_only_query(variant):
    """One prefill up to the separator gives the mask of an answer that begins with [SEG]."""
    lisa = variant.lisa
    config = lisa.network.config
    starting = [case for case in cases(variant, "forced") if case["new_ids"][0] == lisa.tokenizer.seg_id]
    assert starting
    lisa.network.config = replace(config, mask_query={"phrase": "{text}", "sentence": "{text}"})
    try:
        for case in starting:
            result = lisa.segment(variant.frame(case["image"]), case["prompt"])
            expected = variant.arrays("evaluate")[f"{case['case']}/pred_masks"][0]
            assert_logits(result.targets[0].logits, expected, case["case"])
    finally:
        lisa.network.config = config
