"""GSVA equals its official code: token ids, features, the two passes of its evaluation, and what it generates."""

import hashlib
import re

import numpy as np
import pytest
import torch
from golden_variants import turns_of

from lisa_ros import Lisa
from lisa_ros.inference.generation import next_logits
from lisa_ros.inference.teacher_forcing import answer_states, teacher_forced
from lisa_ros.model.preprocess import sam_preprocess, sam_resized_size
from lisa_ros.model.tokenizer import IMAGE_TOKEN_ID
from lisa_ros.types import ABSENT, REJ, SEG, SEGMENTED

pytestmark = pytest.mark.unit
CLOSE = {"atol": 1e-4, "rtol": 0}
MASKS = {"atol": 2e-4, "rtol": 0}


def test_parity_of_the_tokenizer(gsva):
    tokenizer, golden = gsva.lisa.tokenizer, gsva.json("tokenizer")
    for text, ids, decoded in zip(golden["strings"], golden["input_ids"], golden["decode"], strict=True):
        assert tokenizer.encode(text) == ids, text
        assert tokenizer.decode(ids) == decoded, text
    assert gsva.lisa.model.kinds == {gsva.meta["seg_token_idx"]: SEG, gsva.meta["rej_token_idx"]: REJ}
    added = {token: id for token, id in gsva.meta["added_tokens"].items() if id >= gsva.meta["spm_vocab"]}
    assert {**tokenizer.added, **added} == tokenizer.added


def test_parity_of_prompts(gsva):
    """The string of every conversation, and its ids."""
    model, prompts = gsva.lisa.model, gsva.json("prompts")["prompts"]
    assert prompts
    for case in prompts:
        assert model.tokenizer.encode_prompt(case["conversation"]) == case["input_ids"], case["name"]
        turns = turns_of(case["conversation"])
        if turns:
            if IMAGE_TOKEN_ID in case["input_ids"]:
                turns[0] = (model.first_question(turns[0][0]), turns[0][1])
            assert model.template.render(turns) == case["conversation"], case["name"]


def test_parity_of_features(gsva):
    arrays, network = gsva.arrays("features"), gsva.lisa.network
    size = gsva.meta["sam"]["image_size"]
    for index in range(len(gsva.meta["image_sizes_hw"])):
        image, frame = gsva.image(index), gsva.frame(index)
        assert [*sam_resized_size(*image.shape[:2], size)] == arrays[f"resize_{index}"].tolist()
        pixels = {"sam_input": sam_preprocess(image, size)[0], "images_clip": network.vision_tower.preprocess(image)[0]}
        for name, value in pixels.items():
            if (key := f"{name}_{index}") in arrays:
                np.testing.assert_allclose(value.numpy(), arrays[key], atol=1e-6, rtol=0, err_msg=key)
            if (key := f"{name}_sha256_{index}") in arrays:
                digest = hashlib.sha256(np.ascontiguousarray(value.numpy()).tobytes()).hexdigest()
                assert digest == str(arrays[key]), key
        computed = {"projected": frame.visual[0], "sam_embedding": frame.features.embedding[0]}
        for name, value in computed.items():
            np.testing.assert_allclose(value.numpy(), arrays[f"{name}_{index}"], **CLOSE, err_msg=name)


def rows_of(gsva, case):
    """For each conversation of a case its index, question and answer."""
    for row, conversation in enumerate(case["conversation_list"]):
        ((question, answer),) = turns_of(conversation)
        yield row, question, answer


def test_parity_of_the_first_pass(gsva):
    """Positions, states, logits and decisions with the answer as it is."""
    model, arrays = gsva.lisa.model, gsva.arrays("forward")
    ids_of = {kind: id for id, kind in model.kinds.items()}
    for case in gsva.json("forward"):
        name, frame = case["case"], gsva.frame(case["image"])
        at, positions, logits, hidden, decided = [], arrays[f"{name}/token_positions"], [], [], []
        for row, question, answer in rows_of(gsva, case):
            found = answer_states(model, frame, question, answer)
            fed = arrays[f"{name}/input_ids"][row][arrays[f"{name}/attention_masks"][row]].tolist()
            assert found.ids == model.tokenizer.expand_image(fed, gsva.meta["num_image_tokens"]), name
            at += [[row, position + model.style.state_offset] for position in found.positions]
            hidden.append(found.states)
            logits.append(next_logits(model.network, found.states) if len(found.states) else found.states[:, :0])
            decided += [target.decided for target in teacher_forced(model, frame, question, answer)]
        assert at == positions.tolist(), name
        assert decided == case["decisions"], name
        assert [ids_of[kind] for kind in decided] == arrays[f"{name}/decision"].tolist()
        if not at:
            continue
        np.testing.assert_allclose(torch.cat(hidden).numpy(), arrays[f"{name}/hidden_pass1"], **CLOSE, err_msg=name)
        logits = torch.cat([part for part in logits if part.shape[1]])
        assert logits.argmax(1).tolist() == arrays[f"{name}/argmax_pass1"].tolist(), name
        for kind in (SEG, REJ):
            expected = arrays[f"{name}/logit_{kind.lower()}_pass1"]
            np.testing.assert_allclose(logits[:, ids_of[kind]].numpy(), expected, atol=2e-4, rtol=1e-5)
        np.testing.assert_allclose(logits.amax(1).numpy(), arrays[f"{name}/logit_top_pass1"], atol=2e-4, rtol=1e-5)


def test_parity_of_the_second_pass(gsva):
    """States, embeddings and masks once every target is expected to be there."""
    model, arrays = gsva.lisa.model, gsva.arrays("forward")
    head = model.network.head
    for case in gsva.json("forward"):
        name, frame = case["case"], gsva.frame(case["image"])
        states = []
        for row, question, answer in rows_of(gsva, case):
            targets = teacher_forced(model, frame, question, answer)
            assert [target.expected for target in targets] == re.findall(r"\[(SEG|REJ)\]", answer)
            found = answer_states(model, frame, question, answer.replace("[REJ]", "[SEG]"))
            states.append(found.states)
            fed = arrays[f"{name}/input_ids_after"][row][arrays[f"{name}/attention_masks"][row]].tolist()
            assert found.ids == model.tokenizer.expand_image(fed, gsva.meta["num_image_tokens"]), name
            if (key := f"{name}/last_hidden") in arrays:
                hidden = full_pass(model, frame, found.ids)
                np.testing.assert_allclose(hidden, arrays[key][row][: len(hidden)], **CLOSE, err_msg=name)
            if (key := f"{name}/low_res_masks_{row}") in arrays and len(targets):
                with torch.inference_mode():
                    low_res = head.decode_targets(frame.features, head.embed(found.states), found.kinds).logits
                np.testing.assert_allclose(low_res[:, 0].numpy(), arrays[key], **MASKS, err_msg=name)
            if (key := f"{name}/pred_masks_{row}") in arrays:
                assert len(targets) == len(arrays[key])
                for target, expected in zip(targets, arrays[key], strict=True):
                    np.testing.assert_allclose(target.logits, expected, **MASKS, err_msg=name)
            if (key := f"{name}/mask_ge0_{row}") in arrays:
                for target, expected, area in zip(targets, arrays[key], case["mask_areas_ge0"][row], strict=True):
                    np.testing.assert_array_equal(target.logits >= 0, expected, err_msg=name)
                    assert (target.logits >= 0).sum() == area
        states = torch.cat(states)
        np.testing.assert_allclose(states.numpy(), arrays[f"{name}/hidden_mask_pass"], **CLOSE, err_msg=name)
        with torch.inference_mode():
            embeddings = head.embed(states)[:, 0]
        np.testing.assert_allclose(embeddings.numpy(), arrays[f"{name}/seg_embeddings"], **CLOSE, err_msg=name)


def full_pass(model, frame, ids):
    """Last hidden states (L, hidden_size) of the whole sequence at once, without any cache."""
    with torch.inference_mode():
        embeddings = model.network.splice(torch.tensor([ids]), frame.visual)
        return model.network.hidden_states(embeddings)[0].numpy()


def test_parity_of_generation(gsva):
    """Greedy ids, the masks of the [SEG]s among them, and no mask for a [REJ]."""
    lisa, arrays = gsva.lisa, gsva.arrays("generate")
    for case in gsva.json("generate"):
        name, frame = case["case"], gsva.frame(case["image"])
        prompt = case["prompt"]
        question = turns_of(prompt + (" x</s>" if prompt.endswith("ASSISTANT:") else " x </s>"))[0][0]
        asked = lisa.model.prompt_ids(frame, [(lisa.model.first_question(question), None)])
        talk = lisa.conversation(frame)
        # Not `ask`, which takes words from outside and drops the blank in front of them.
        events = talk._answer(question, asked, case["max_new_tokens"], None)
        result = list(events)[-1].result
        fed = talk._prefix.ids[len(asked) :]
        assert list(fed) == case["new_ids"][: len(fed)] and len(case["new_ids"]) - len(fed) <= 1, name
        assert lisa.tokenizer.decode(case["new_ids"]) == case["text"], name
        positions, kinds = lisa.model.events([*asked, *fed])
        states = full_pass(lisa.model, frame, [*asked, *fed])
        seg = [position - 1 for position, kind in zip(positions, kinds, strict=True) if kind == SEG]
        assert seg == arrays[f"{name}/seg_positions"].tolist(), name
        with torch.inference_mode():
            embeddings = lisa.network.head.embed(torch.from_numpy(states[seg]))
            low_res = lisa.network.head.decode_targets(frame.features, embeddings, [SEG] * len(seg)).logits
        np.testing.assert_allclose(embeddings[:, 0], arrays[f"{name}/seg_embeddings"], **CLOSE, err_msg=name)
        np.testing.assert_allclose(low_res[:, 0], arrays[f"{name}/low_res_masks"], **MASKS, err_msg=name)
        kinds = [target.kind for target in result.targets]
        assert (kinds.count(SEGMENTED), kinds.count(ABSENT)) == (case["n_seg"], case["n_rej"]), name
        masks = [target for target in result.targets if target.kind == SEGMENTED]
        for target, expected in zip(masks, arrays[f"{name}/pred_masks"], strict=True):
            np.testing.assert_allclose(target.logits, expected, **MASKS, err_msg=name)
        absent = [target for target in result.targets if target.kind == ABSENT]
        assert all(target.logits is None and not target.mask.any() for target in absent)


def test_parity_of_the_unmerged_layout(gsva):
    """The authors' file on top of LLaVA, Segment Anything and CLIP gives the merged network."""
    path = gsva.directory / "gsva_pytorch_model.bin"
    loaded = Lisa.from_pretrained(path, device="cpu", **gsva.options, **gsva.unmerged_options)
    merged = gsva.lisa.network.state_dict()
    assert loaded.tokenizer.added == gsva.lisa.tokenizer.added
    assert loaded.network.config.style == "gsva"
    for key, value in loaded.network.state_dict().items():
        torch.testing.assert_close(value, merged[key], atol=5e-5, rtol=1e-5, msg=key)
