"""The network in SESAME's style on the CPU in float32, equal to the official code within rounding."""

import hashlib

import numpy as np
import pytest
import torch
from sesame_golden import masks_of

from lisa_ros.inference.batch import generate_batch
from lisa_ros.inference.generation import decode_step, greedy_token, prefill
from lisa_ros.model.grounding import find_events, state_positions
from lisa_ros.model.preprocess import sam_preprocess, upscale_logits
from lisa_ros.model.prompts import get_template, question_about_image
from lisa_ros.model.sam import SamFeatures
from lisa_ros.model.tokenizer import IMAGE_TOKEN_ID
from lisa_ros.types import ABSENT, SEGMENTED

pytestmark = pytest.mark.unit
CLOSE = {"atol": 1e-4, "rtol": 1e-5}


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.inference_mode():
        yield


def assert_logits(computed, expected, name, atol=1e-3):
    np.testing.assert_allclose(computed, expected, atol=max(atol, 2e-5 * np.abs(expected).max(initial=0)), err_msg=name)


def digest(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def questions(variant):
    """key -> the words of its question, with what stands for the image taken off."""
    return {row["key"]: row["question"].removeprefix("<image>\n") for row in variant.json("prompts")["inference"]}


def cases(variant, *kinds, rows=None):
    found = [case for case in variant.json("generate") if case["case"].startswith(kinds)]
    return [case for case in found if rows is None or (len(case["keys"]) > 1) == (rows > 1)]


def input_rows(variant, case):
    return variant.arrays("generate")[f"{case['case']}/input_ids"].tolist()


def expanded(variant, ids):
    return variant.lisa.tokenizer.expand_image(ids, variant.meta["num_image_tokens"])


def full_pass(variant, case):
    """Last hidden states (rows, L, hidden_size) of the whole golden sequences, padded as they are, nothing masked."""
    network = variant.lisa.network
    rows = [expanded(variant, ids) for ids in variant.arrays("generate")[f"{case['case']}/output_ids"].tolist()]
    visual = variant.frame(case["image"]).visual.expand(len(rows), -1, -1)
    return network.hidden_states(network.splice(torch.tensor(rows), visual))


def decoded(variant, case, states):
    frame = variant.frame(case["image"])
    head = variant.lisa.network.head
    embeddings = head.embed(states)
    low_res = head.decode(frame.features, embeddings)
    return (
        embeddings[:, 0],
        low_res,
        upscale_logits(low_res, variant.meta["sam"]["image_size"], frame.height, frame.width),
    )


def assert_masks(variant, case, states):
    arrays, name = variant.arrays("generate"), case["case"]
    expected = arrays[f"{name}/seg_embeddings"]
    assert len(states) == len(expected) == sum(case["n_seg"])
    np.testing.assert_allclose(states.numpy(), arrays[f"{name}/seg_hidden"], **CLOSE, err_msg=name)
    if not len(states):
        return
    embeddings, low_res, full = decoded(variant, case, states)
    np.testing.assert_allclose(embeddings.numpy(), expected, **CLOSE, err_msg=name)
    assert_logits(low_res[:, 0].numpy(), arrays[f"{name}/low_res_masks"], name)
    if f"{name}/mask_logits" in arrays:
        assert_logits(full.numpy(), arrays[f"{name}/mask_logits"], name)


def test_parity_of_preprocessing(variant):
    """CLIP sees the centre of the picture at its own size, not a padded square."""
    arrays, network = variant.arrays("preprocess"), variant.lisa.network
    size = variant.meta["sam"]["image_size"]
    for index, row in enumerate(variant.json("preprocess")):
        image = variant.image(index)
        clip, sam = network.vision_tower.preprocess(image)[0].numpy(), sam_preprocess(image, size)[0].numpy()
        assert digest(image) == row["sha256_rgb_uint8"]
        np.testing.assert_array_equal(clip, arrays[f"clip_pixel_values_{index}"])
        assert (digest(clip), digest(sam)) == (row["sha256_clip_f32"], row["sha256_sam_input_f32"])
        if f"sam_input_{index}" in arrays:
            np.testing.assert_array_equal(sam, arrays[f"sam_input_{index}"])


def test_parity_of_features(variant):
    arrays, network = variant.arrays("features"), variant.lisa.network
    for index in range(variant.images):
        frame = variant.frame(index)
        computed = {
            "clip_features": network.vision_tower(network.vision_tower.preprocess(variant.image(index))),
            "projected": frame.visual,
            "sam_embedding": frame.features.embedding,
        }
        for name, value in computed.items():
            np.testing.assert_allclose(value[0].numpy(), arrays[f"{name}_{index}"], **CLOSE, err_msg=name)
    assert frame.visual.shape[1] == variant.meta["num_image_tokens"]
    np.testing.assert_allclose(network.sam.dense_position()[0].numpy(), arrays["sam_dense_pe"], **CLOSE)


def test_parity_of_prompts(variant):
    """The system sentence of evaluation, not that of training; questions as they are, blanks and all."""
    lisa, golden = variant.lisa, variant.json("prompts")
    assert lisa.network.config.conv_type == "vicuna_v1"
    assert get_template("vicuna_v1").system == golden["system_demo_and_eval"]
    assert get_template("llava_v1").system == golden["system_train"]
    tokenizer = lisa.tokenizer
    assert [tokenizer.added[token] for token in ("[SEG]", "<im_start>", "<im_end>")] == [
        golden["seg_token_idx"], golden["im_start"], golden["im_end"],
    ]  # fmt: skip
    for row in golden["inference"]:
        words = row["question"].removeprefix("<image>\n")
        prompt = lisa.model.template.render([(question_about_image(words, True), None)])
        assert prompt == row["prompt"], row["key"]
        assert tokenizer.encode_prompt(prompt) == row["input_ids"], row["key"]
    padded = golden["inference_batch_left_padded"]
    by_key = {row["key"]: row["input_ids"] for row in golden["inference"]}
    for key, ids in zip(padded["keys"], padded["input_ids"], strict=True):
        assert ids == [tokenizer.unk_id] * (len(ids) - len(by_key[key])) + by_key[key]


def test_parity_of_hidden_states(variant):
    arrays = variant.arrays("generate")
    stored = [case for case in cases(variant, "") if f"{case['case']}/last_hidden" in arrays]
    assert stored
    for case in stored:
        expected = arrays[f"{case['case']}/last_hidden"]
        np.testing.assert_allclose(full_pass(variant, case)[:, : expected.shape[1]].numpy(), expected, **CLOSE)


def test_parity_of_seg_positions_and_masks(variant):
    """The state before each [SEG] of all rows, [SEG] in the question and as the very last token among them."""
    lisa = variant.lisa
    for case in cases(variant, ""):
        output = variant.arrays("generate")[f"{case['case']}/output_ids"].tolist()
        found = [
            [row, position]
            for row, ids in enumerate(output)
            for position in state_positions(
                find_events(ids, lisa.model.kinds, lisa.tokenizer), ids, variant.meta["num_image_tokens"]
            )
        ]
        assert found == variant.arrays("generate")[f"{case['case']}/seg_positions"].tolist(), case["case"]
        states = full_pass(variant, case)
        picked = [states[row, position] for row, position in found]
        assert_masks(variant, case, torch.stack(picked) if picked else states.new_zeros((0, states.shape[-1])))


def test_parity_of_the_mask_decoder(variant):
    """Given the official image features and prompt embeddings, so that nothing but the decoder rounds."""
    arrays, head = variant.arrays("generate"), variant.lisa.network.head
    for case in cases(variant, ""):
        embeddings = torch.tensor(arrays[f"{case['case']}/seg_embeddings"])
        if len(embeddings):
            embedding = torch.tensor(variant.arrays("features")[f"sam_embedding_{case['image']}"])[None]
            low_res = head.decode(SamFeatures(embedding), embeddings[:, None])
            expected = arrays[f"{case['case']}/low_res_masks"]
            assert_logits(low_res[:, 0].numpy(), expected, case["case"], atol=1e-5)


def official_masks(variant, case):
    """(rows, H, W) bool: what the official code returns."""
    packed = variant.arrays("generate")[f"{case['case']}/pred_masks"]
    return np.unpackbits(packed, axis=-1)[..., : case["pred_mask_shape"][-1]].astype(bool)


def first_mask(result, shape):
    """The first mask of an answer, as the official code counts it; empty without any."""
    masks = masks_of(result)
    return masks[0].mask if masks else np.zeros(shape, bool)


def assert_near(mask, expected, logits, name):
    """Equal but for pixels whose logit is within rounding of 0."""
    differ = mask != expected
    assert not differ.any() or np.abs(logits[differ]).max() < 2e-3, name


def test_parity_of_answers(variant):
    """Greedy tokens, words, number of masks, the first mask and presence of single queries."""
    lisa, words = variant.lisa, questions(variant)
    for case in cases(variant, "nat", rows=1):
        (ids,), (key,) = case["new_ids"], case["keys"]
        frame = variant.frame(case["image"])
        (row,) = generate_batch(lisa.model, frame, [lisa.model.prompt_ids(
            frame, [(lisa.model.first_question(words[key]), None)])], case["max_new_tokens"])  # fmt: skip
        assert row.ids == [id for id in ids if id != lisa.tokenizer.eos_id], case["case"]
        result = lisa.chat(frame, words[key], max_new_tokens=case["max_new_tokens"])
        assert result.truncated == (ids[-1] != lisa.tokenizer.eos_id) == row.truncated
        assert lisa.tokenizer.decode(ids, skip_special_tokens=True).strip() == case["text"][0], case["case"]
        masks = masks_of(result)
        assert len(masks) == case["n_seg"][0]
        (expected,) = official_masks(variant, case)
        if masks:
            assert_near(masks[0].mask, expected, masks[0].logits, case["case"])
        assert bool(masks and masks[0].mask.any()) == case["object_presence"][0], case["case"]
        if f"{case['case']}/mask_logits" in variant.arrays("generate"):
            for target, logits in zip(masks, variant.arrays("generate")[f"{case['case']}/mask_logits"], strict=True):
                assert_logits(target.logits, logits, case["case"])


def test_parity_of_batches(variant):
    """The official left padding, which is attended to like words, by the option that reproduces it."""
    lisa, words = variant.lisa, questions(variant)
    for case in cases(variant, "nat", rows=2):
        frame, limit = variant.frame(case["image"]), case["max_new_tokens"]
        asked = [words[key] for key in case["keys"]]
        results = lisa.chat_batch(frame, asked, max_new_tokens=limit, unmasked_padding=True)
        prompts = [lisa.model.prompt_ids(frame, [(lisa.model.first_question(one), None)]) for one in asked]
        rows = generate_batch(lisa.model, frame, prompts, limit, unmasked_width=max(map(len, prompts)))
        expected = zip(
            rows, results, case["new_ids"], official_masks(variant, case), case["object_presence"], strict=True
        )
        for row, result, ids, mask, present in expected:
            end = ids.index(lisa.tokenizer.eos_id) if lisa.tokenizer.eos_id in ids else len(ids)
            assert row.ids == ids[:end], case["case"]
            masks = masks_of(result)
            assert bool(masks and masks[0].mask.any()) == present
            assert_near(first_mask(result, mask.shape), mask, masks[0].logits if masks else None, case["case"])
        if f"{case['case']}/mask_logits" in variant.arrays("generate"):
            computed = [target.logits for result in results for target in masks_of(result)]
            assert_logits(np.stack(computed), variant.arrays("generate")[f"{case['case']}/mask_logits"], case["case"])


def test_parity_of_single_queries_of_a_batch(variant):
    """A masked batch gives every row the states, hence the masks, of its query alone."""
    lisa, words, compared = variant.lisa, questions(variant), 0
    singles = {case["keys"][0]: case for case in cases(variant, "single_of_batch")}
    for case in cases(variant, "nat", rows=2):
        frame = variant.frame(case["image"])
        asked = [words[key] for key in case["keys"]]
        prompts = [lisa.model.prompt_ids(frame, [(lisa.model.first_question(one), None)]) for one in asked]
        rows = generate_batch(lisa.model, frame, prompts, case["max_new_tokens"])
        for key, prompt, row in zip(case["keys"], prompts, rows, strict=True):
            (alone,) = generate_batch(lisa.model, frame, [prompt], case["max_new_tokens"])
            assert row.ids == alone.ids
            torch.testing.assert_close(torch.cat(row.states), torch.cat(alone.states), **CLOSE)
            single = singles.get(key)
            if single and single["image"] == case["image"]:
                forced = [id for id in single["new_ids"][0] if id != lisa.tokenizer.eos_id]
                states = _forced_states(lisa, frame, prompt, forced)
                picked = [states[index] for index, id in enumerate(forced) if id in lisa.model.kinds]
                assert_masks(variant, single, torch.cat(picked) if picked else states[0][:0])
                compared += 1
    assert compared == len(singles)


def _forced_states(lisa, frame, prompt, ids):
    """The state that predicts each of some given tokens, by cached steps."""
    cache, hidden = prefill(lisa.network, prompt, frame.visual, frame.prefix)
    states = [hidden]
    for id in ids[:-1]:
        states.append(decode_step(lisa.network, id, cache))
    return states


def test_parity_of_forced_answers_step_by_step(variant):
    """Cached steps give the states that one pass over the whole sequence gives."""
    lisa, words = variant.lisa, questions(variant)
    for case in cases(variant, "forced", rows=1):
        frame = variant.frame(case["image"])
        (prompt,) = ([*expanded(variant, ids)] for ids in input_rows(variant, case))
        ids = case["new_ids"][0]
        states = torch.cat(_forced_states(lisa, frame, prompt, ids))
        full = full_pass(variant, case)[0]
        np.testing.assert_allclose(states.numpy(), full[len(full) - len(ids) - 1 : -1].numpy(), **CLOSE)
        if case["keys"][0] in words and IMAGE_TOKEN_ID in input_rows(variant, case)[0]:
            assert len(prompt) == len(input_rows(variant, case)[0]) + variant.meta["num_image_tokens"] - 1


def test_parity_of_greedy_margin(variant):
    """The golden answers do not hang on rounding: each token is chosen by at least the recorded margin."""
    lisa, words = variant.lisa, questions(variant)
    for case in cases(variant, "nat", rows=1):
        frame = variant.frame(case["image"])
        prompt = lisa.model.prompt_ids(frame, [(lisa.model.first_question(words[case["keys"][0]]), None)])
        margins = []
        for state in _forced_states(lisa, frame, prompt, case["new_ids"][0]):
            best = greedy_token(lisa.network, state)[1].topk(2).values
            margins.append(float(best[0] - best[1]))
        assert min(margins) == pytest.approx(case["min_top2_margin"], abs=1e-3), case["case"]


def test_refusals_and_corrections_are_targets(tiny):
    lisa, words = tiny.lisa, questions(tiny)
    for key, absent in (("refusal", True), ("correction", True), ("present", False)):
        (case,) = [case for case in cases(tiny, f"nat_{key}") if case["keys"] == [key]]
        result = lisa.chat(tiny.frame(case["image"]), words[key], max_new_tokens=case["max_new_tokens"])
        assert [target.kind for target in result.targets] == [ABSENT if absent else SEGMENTED]
