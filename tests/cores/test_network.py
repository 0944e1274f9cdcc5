"""CoReS' pictures, prompts, teacher-forced and generated masks, equal to the official code within rounding."""

import hashlib

import numpy as np
import pytest
import torch

from lisa_ros.inference.generation import decode_step, greedy_token, prefill
from lisa_ros.inference.teacher_forcing import answer_states, teacher_forced
from lisa_ros.model.preprocess import sam_preprocess
from lisa_ros.model.prompts import question_about_image
from lisa_ros.model.tokenizer import IMAGE_TOKEN_ID
from lisa_ros.types import LOC, SEG, SEGMENTED, Finished, MaskReady

pytestmark = pytest.mark.unit
CLOSE = {"atol": 1e-4, "rtol": 1e-5}


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.inference_mode():
        yield


def assert_logits(computed, expected, name):
    np.testing.assert_allclose(computed, expected, atol=max(1e-4, 2e-5 * np.abs(expected).max(initial=0)), err_msg=name)


def digest(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def test_the_style_is_told_by_the_files(variant):
    assert variant.lisa.model.style.name == "cores"
    assert sorted(variant.lisa.model.kinds.items()) == sorted(
        {variant.meta["seg_sema_token_idx"]: LOC, variant.meta["seg_token_idx"]: SEG}.items()
    )


def test_parity_of_pictures(variant):
    network, arrays, pixels = variant.lisa.network, variant.arrays("features"), variant.arrays("preprocess")
    for index, case in enumerate(variant.json("preprocess")):
        image = variant.image(index)
        assert digest(image) == case["sha256_rgb_uint8"]
        clip = network.vision_tower.preprocess(image)
        np.testing.assert_array_equal(clip[0].numpy(), pixels[f"clip_pixel_values_{index}"])
        resized = sam_preprocess(image, variant.meta["sam"]["image_size"])
        assert digest(resized[0].numpy()) == case["sha256_sam_input_f32"]
        frame = variant.frame(index)
        embedding = frame.features.embedding[0].numpy()
        np.testing.assert_allclose(embedding, arrays[f"sam_embedding_{index}"], **CLOSE)
        if f"projected_{index}" in arrays:
            np.testing.assert_allclose(frame.visual[0].numpy(), arrays[f"projected_{index}"], **CLOSE)
    np.testing.assert_allclose(network.sam.dense_position()[0].numpy(), arrays["sam_dense_pe"], **CLOSE)


def test_parity_of_the_mask_prompt(variant):
    arrays = variant.arrays("features")
    given = torch.from_numpy(arrays["mask_downscaling_in"])[None, None]
    computed = variant.lisa.network.sam.prompt_encoder.mask_downscaling(given)[0]
    np.testing.assert_allclose(computed.numpy(), arrays["mask_downscaling_out"], **CLOSE)


def test_parity_of_prompts(variant):
    model, golden = variant.lisa.model, variant.json("prompts")
    for case in golden["inference"]:
        question = question_about_image(case["question"].removeprefix("<image>\n"), True)
        prompt = model.template.render([(question, None)])
        assert model.tokenizer.encode_prompt(prompt) == case["input_ids"], case["key"]


def test_parity_of_teacher_forced_masks(variant):
    """Pairs of an image are found over all its conversations; unequal numbers, an error there, are told apart here."""
    model, arrays, compared = variant.lisa.model, variant.arrays("teacher_forced"), 0
    for case in variant.json("teacher_forced"):
        name, frame, states, kinds = case["case"], variant.frame(case["image"]), [], []
        for conversation, expected in zip(case["conversation_list"], case["input_ids"], strict=True):
            ((question, answer),) = variant.turns(conversation)
            found = answer_states(model, frame, question, answer)
            unpadded = expected[: len(expected) - expected[::-1].index(model.tokenizer.eos_id)]
            assert model.tokenizer.expand_image(unpadded, variant.meta["num_image_tokens"]) == found.ids, name
            states.append(found.states)
            kinds += found.kinds
        states = torch.cat(states)
        assert (kinds.count(LOC), kinds.count(SEG)) == (case["n_sema"], case["n_seg"])
        if "error" in case:
            continue
        embeddings = model.network.head.embed(states)
        for kind, key in ((LOC, "sema_embeddings"), (SEG, "seg_embeddings")):
            part = embeddings[[index for index, one in enumerate(kinds) if one == kind]]
            np.testing.assert_allclose(part[:, 0].numpy(), arrays[f"{name}/{key}"], **CLOSE, err_msg=name)
        masks = model.network.head.decode_targets(frame.features, embeddings, kinds)
        full = model.decode_masks(frame, states, kinds)
        assert len(full) == case["n_seg"]
        if case["n_seg"]:
            assert_logits(masks.coarse[:, 0].numpy(), arrays[f"{name}/coarse_low_res"], name)
            assert_logits(masks.logits[:, 0].numpy(), arrays[f"{name}/low_res_masks"], name)
            dense = model.network.sam.prompt_encoder.mask_downscaling(masks.coarse)
            np.testing.assert_allclose(dense[0].numpy(), arrays[f"{name}/dense_prompt_0"], **CLOSE, err_msg=name)
            assert_logits(np.stack([one.logits for one in full]), arrays[f"{name}/mask_logits"], name)
            assert_logits(np.stack([one.coarse for one in full]), arrays[f"{name}/coarse_mask_logits"], name)
            compared += len(full)
    assert compared


def test_parity_of_generated_answers(variant):
    """The path that the release lacks: greedy answers, their states, and the masks of both steps."""
    lisa, arrays, compared = variant.lisa, variant.arrays("generate"), 0
    prompts = {case["key"]: case for case in variant.json("prompts")["inference"]}
    for case in variant.json("generate"):
        name, frame = case["case"], variant.frame(case["image"])
        ids = lisa.tokenizer.expand_image(prompts[case["key"]]["input_ids"], variant.meta["num_image_tokens"])
        cache, hidden = prefill(lisa.network, ids, frame.visual, frame.prefix)
        said, states = [], {LOC: [], SEG: []}
        while len(said) < case["max_new_tokens"] and (not said or said[-1] != lisa.tokenizer.eos_id):
            token, _ = greedy_token(lisa.network, hidden)
            said.append(token)
            if token in lisa.model.kinds:
                states[lisa.model.kinds[token]].append(hidden)
            hidden = decode_step(lisa.network, token, cache)
        assert said == case["new_ids"], name
        for kind, key in ((LOC, "sema"), (SEG, "seg")):
            expected = arrays[f"{name}/{key}_hidden"]
            assert len(states[kind]) == len(expected) == case[f"n_{key}"]
            if len(expected):
                found = torch.cat(states[kind])
                np.testing.assert_allclose(found.numpy(), expected, **CLOSE, err_msg=name)
                embedded = lisa.network.head.embed(found)[:, 0].numpy()
                np.testing.assert_allclose(embedded, arrays[f"{name}/{key}_embeddings"], **CLOSE, err_msg=name)
        question = prompts[case["key"]]["question"].removeprefix("<image>\n")
        if question != question.strip():
            continue  # a query's own blanks are not kept; its ids were compared above
        result = lisa.chat(frame, question, max_new_tokens=case["max_new_tokens"])
        assert len(result.targets) == case["n_seg"]
        if "error" not in case and case["n_seg"]:
            found = np.stack([target.logits for target in result.targets])
            assert_logits(found, arrays[f"{name}/mask_logits"], name)
            size = variant.meta["sam"]["image_size"]
            assert all(target.coarse.shape == found.shape[1:] for target in result.targets) and size
            compared += len(found)
    assert compared


def test_parity_of_masks_with_unequal_numbers(variant):
    """What the original cannot decode: a [SEG] without its place is decoded as LISA's, a place alone is no target."""
    lisa = variant.lisa
    prompts = {case["key"]: case["question"].removeprefix("<image>\n") for case in variant.json("prompts")["inference"]}
    for case in variant.json("generate"):
        if "error" in case and prompts[case["key"]].strip() == prompts[case["key"]]:
            result = lisa.chat(variant.frame(case["image"]), prompts[case["key"]], max_new_tokens=16)
            assert [(target.kind, target.coarse) for target in result.targets] == [(SEGMENTED, None)] * case["n_seg"]


def test_masks_come_as_soon_as_both_steps_are_said(variant):
    """Whichever comes first, each target is reported once and by its rank."""
    case = next(case for case in variant.json("generate") if case["n_seg"] == case["n_sema"] == 1)
    prompts = {one["key"]: one["question"].removeprefix("<image>\n") for one in variant.json("prompts")["inference"]}
    events = list(variant.lisa.stream(variant.frame(case["image"]), prompts[case["key"]].strip(), max_new_tokens=16))
    ready = [event for event in events if isinstance(event, MaskReady)]
    assert [event.index for event in ready] == [0] and isinstance(events[-1], Finished)
    assert events[-1].result.targets[0] is ready[0].target and ready[0].target.coarse is not None


def test_phrases_are_segmented_in_two_steps(variant):
    """One pass for many phrases gives what each alone gives, coarse masks included."""
    lisa, frame = variant.lisa, variant.frame(0)
    together = lisa.segment_phrases(frame, ["the red box", "the dog"]).targets
    for target, phrase in zip(together, ("the red box", "the dog"), strict=True):
        (alone,) = lisa.segment(frame, phrase).targets
        assert_logits(target.logits, alone.logits, phrase)
        assert_logits(target.coarse, alone.coarse, phrase)
        words = lisa.network.config.mask_query
        question = words["phrase"].replace("{text}", phrase)
        (forced,) = teacher_forced(lisa.model, frame, question, words["answer"])
        assert_logits(alone.logits, forced.logits, phrase)
        assert_logits(alone.coarse, forced.coarse, phrase)


def test_image_placeholder_is_one_token(variant):
    for case in variant.json("prompts")["inference"]:
        assert case["input_ids"].count(IMAGE_TOKEN_ID) == 1
