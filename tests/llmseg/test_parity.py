"""LLM-Seg equals its official code: features of proposals, scores, rules, scores of evaluation, generated answers."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_variants import turns_of

from lisa_ros.datasets.reasonseg import read_annotation
from lisa_ros.evaluation.metrics import SegmentationMetrics, overlap_of
from lisa_ros.evaluation.normalized import normalized_overlap
from lisa_ros.geometry.proposals import Proposals
from lisa_ros.geometry.run_lengths import run_length_mask
from lisa_ros.inference.batch import generate_batch
from lisa_ros.inference.regions import choose_masks
from lisa_ros.inference.teacher_forcing import answer_states, teacher_forced
from lisa_ros.model.heads import SamPromptHead
from lisa_ros.model.preprocess import sam_preprocess, sam_resized_size, upscale_logits
from lisa_ros.model.proposal_head import choose, weight_maps
from lisa_ros.model.tokenizer import IMAGE_TOKEN_ID
from training.data.collate import Collator

pytestmark = pytest.mark.unit
CLOSE = {"atol": 1e-4, "rtol": 0}
SCORES = {"atol": 1e-5, "rtol": 0}
RULES = {
    "validate": "similarity",
    "validate_threshold": "iop",
    "validate_iou_iop": "similarity_and_iop",
    "validate_threshold_from_topIoU": "iop_of_five",
}


def digest(values) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()


def stem(name: str) -> str:
    return Path(name).stem


def annotation(llmseg, name):
    (path,) = (llmseg.directory / "reason_seg").rglob(f"{stem(name)}.json")
    return read_annotation(path, *llmseg.image(name).shape[:2])


def states_of(model, frame, conversation):
    ((question, answer),) = turns_of(conversation)
    return answer_states(model, frame, question, answer)


def labels_of_tokens(llmseg, question, answer):
    """What a training would learn of a conversation."""
    network, visual = llmseg.lisa.network, llmseg.meta["num_image_tokens"]
    options = {"visual_tokens": visual, "clip": None, "max_length": 1 << 20, "use_ignore": False}
    return Collator(llmseg.lisa.tokenizer, network.config, **options).tokenize([(question, answer)], True).labels


def wide(llmseg, ids, labels):
    """Labels with the image's places repeated."""
    visual = llmseg.meta["num_image_tokens"]
    return np.repeat(labels, [visual if id == IMAGE_TOKEN_ID else 1 for id in ids]).tolist()


def keep(module, seen, names):
    """Adds what a module returns to `seen`, under the names that are made of it."""
    return module.register_forward_hook(lambda _, __, found: seen.update(names(found)))


@torch.inference_mode()
def scores_of(model, frame, states):
    head = model.network.head
    return head.score(head.embed(states), frame.regions.pooled)


def test_parity_of_the_tokenizer(llmseg):
    tokenizer, golden = llmseg.lisa.tokenizer, llmseg.json("tokenizer")
    assert golden["added"].items() <= tokenizer.added.items() and len(tokenizer) == golden["vocab_size"]
    assert tokenizer.seg_id == golden["seg_token_idx"] == llmseg.unmerged.tokenizer.seg_id
    for case in golden["strings"]:
        assert tokenizer.encode(case["s"]) == case["ids"], case["s"]
        assert tokenizer.encode(case["s"], bos=False) == case["ids_nospecial"], case["s"]
    model = llmseg.lisa.model
    for case in golden["chat"]:
        string = model.template.render([(model.first_question(case["prompt"]), None)])
        assert string == case["string"] and tokenizer.encode_prompt(string) == case["ids"]


def test_parity_of_inputs(llmseg):
    """Pixels, stored proposals in their order, weight maps, ids and truth, bit for bit."""
    model, arrays = llmseg.lisa.model, llmseg.arrays("features")
    size, head = llmseg.meta["dino"]["input_size"], model.network.head
    for case in llmseg.json("features"):
        name, image = stem(case["image"]), llmseg.image(case["image"])
        assert list(image.shape[:2]) == case["image_hw"] and digest(image) == case["sha256_rgb_uint8"]
        assert list(sam_resized_size(*image.shape[:2], size)) == case["resize_hw"]
        pixels = sam_preprocess(image, size)[0].numpy()
        assert digest(pixels) == case["sha256_dino_input_f32"]
        assert pixels.astype(np.float64).sum() == pytest.approx(case["dino_input_sum_f64"], abs=1e-6)
        np.testing.assert_array_equal(pixels[:, 5::11, 3::7], arrays[f"{name}/dino_input_sub"])
        clip = model.network.vision_tower.preprocess(image)[0].numpy()
        assert digest(clip) == case["sha256_clip_f32"]
        proposals = llmseg.frame(case["image"]).regions.proposals
        assert len(proposals) == case["K"] and [proposals.height, proposals.width] == case["segs_origin_hw"]
        assert [item.area for item in proposals.items] == case["areas_sorted"]
        assert [list(item.box) for item in proposals.items] == case["bbox"]
        packed = np.packbits(proposals.masks.reshape(len(proposals), -1), axis=1)
        np.testing.assert_array_equal(packed, arrays[f"{name}/segs_origin_packed"])
        weights = weight_maps(proposals, head.config.pooling_size)
        assert digest(weights.numpy()) == case["sha256_segs_f32"]
        if f"{name}/segs_every10" in arrays:
            np.testing.assert_array_equal(weights[::10], arrays[f"{name}/segs_every10"])
            np.testing.assert_allclose(weights.sum((1, 2)), arrays[f"{name}/segs_sum"], rtol=1e-6)
        else:
            np.testing.assert_array_equal(weights, arrays[f"{name}/segs"])
        if f"{name}/segs_without_antialias_first3" in arrays:
            sampled = weight_maps(proposals, head.config.pooling_size, smooth=False)[:3]
            np.testing.assert_array_equal(sampled, arrays[f"{name}/segs_without_antialias_first3"])
        texts, sentence, labels = annotation(llmseg, case["image"])
        np.testing.assert_array_equal(labels, arrays[f"{name}/gt_mask"][0])
        assert sorted(np.unique(labels)) == case["gt_values"]
        ((question, answer),) = turns_of(case["conversation"])
        script = model.style.turn_prompt(texts[0], model.network.config.mask_query, sentence=sentence)
        assert (script.question, script.answer) == (question, answer)
        assert labels_of_tokens(llmseg, question, answer) == wide(llmseg, case["input_ids"], case["labels"])
        frame = llmseg.frame(case["image"])
        found = model.tokenizer.expand_image(case["input_ids"], llmseg.meta["num_image_tokens"])
        assert answer_states(model, frame, question, answer).ids == found


def test_parity_of_features(llmseg):
    """DINOv2, pooled proposals, every step of the fusion."""
    model, arrays = llmseg.lisa.model, llmseg.arrays("features")
    parts, head = model.network.model, model.network.head
    for case in llmseg.json("features"):
        seen = {}
        name, frame = stem(case["image"]), llmseg.frame(case["image"])
        pixels = sam_preprocess(llmseg.image(case["image"]), head.config.input_size)
        hooks = [
            keep(parts.visual_model_dinov2, seen, lambda found: {"dino_tokens": found[0]}),
            keep(parts.lisa_dino_conv, seen, lambda found: {"dino_conv": found[0]}),
            keep(parts.lisa_final_attn, seen, lambda found: {"final_attn_out": found}),
            keep(parts.lisa_norm_final_attn, seen, lambda found: {"final_norm": found}),
        ]
        for number, block in enumerate(parts.lisa_attention_layers):
            names = (f"layer{number}_queries", f"layer{number}_keys")
            hooks.append(keep(block, seen, lambda found, names=names: dict(zip(names, found, strict=True))))
        with torch.inference_mode():
            seen["dino_up_ch16"] = head.region_map(pixels)[0, ::16]
            states = states_of(model, frame, case["conversation"]).states
            seen["seg_embedding"] = head.embed(states)[:, 0]
            scores = scores_of(model, frame, states)
        for hook in hooks:
            hook.remove()
        seen |= {"pooled": frame.regions.pooled, "mask_embedding": scores.embeddings, "similarity": scores.similarity}
        seen["iop"] = scores.iop[..., None]
        stored = {key.split("/")[1] for key in arrays if key.startswith(f"{name}/")}
        assert {"pooled", "similarity", "iop", "final_norm", "layer1_queries"} <= stored
        for key in stored & seen.keys():
            tolerance = SCORES if key in ("similarity", "iop") else CLOSE
            np.testing.assert_allclose(seen[key].numpy(), arrays[f"{name}/{key}"], **tolerance, err_msg=f"{name} {key}")


@pytest.mark.parametrize("weights", ["merged", "unmerged"])
def test_parity_of_scores(llmseg, weights):
    """Both published layouts; the un-merged one merges to the same numbers."""
    lisa, arrays = llmseg.lisa if weights == "merged" else llmseg.unmerged, llmseg.arrays("forward")
    conversations = {case["image"]: case["conversation"] for case in llmseg.json("features")}
    for case in (one for one in llmseg.json("forward")["forward"] if one["weights"] == weights):
        name = case["image"]
        frame = llmseg.frame(name) if weights == "merged" else llmseg.frame(name, lisa)
        scores = scores_of(lisa.model, frame, states_of(lisa.model, frame, conversations[name]).states)
        key = f"{weights}/{stem(name)}"
        np.testing.assert_allclose(scores.similarity, arrays[f"{key}/similarity"], **SCORES, err_msg=name)
        np.testing.assert_allclose(scores.iop, arrays[f"{key}/iop"], **SCORES, err_msg=name)
        assert len(frame.regions.proposals) == case["K"]
        best = frame.regions.proposals.masks[int(scores.similarity.argmax())]
        assert (best == frame.regions.proposals.masks[case["argmax_similarity"]]).all(), name
        assert np.flatnonzero(scores.iop[0].numpy() > 0.5).tolist() == case["iop_above_0.5"]


def test_parity_of_half_precision(llmseg):
    """Near the official bfloat16, whose drift depends on the hardware; here the scoring parts stay in float32."""
    lisa, arrays = llmseg.load("unmerged", precision="bf16"), llmseg.arrays("forward_bf16")
    for case in llmseg.json("features"):
        frame, name = llmseg.frame(case["image"], lisa), stem(case["image"])
        scores = scores_of(lisa.model, frame, states_of(lisa.model, frame, case["conversation"]).states)
        np.testing.assert_allclose(scores.similarity, arrays[f"{name}/similarity"], atol=0.1, rtol=0)
        np.testing.assert_allclose(scores.iop, arrays[f"{name}/iop"], atol=0.1, rtol=0)


@pytest.mark.parametrize("weights", ["merged", "unmerged"])
def test_parity_of_rules(llmseg, weights):
    """Every official function: masks exactly, intersections and unions of each image, gIoU, cIoU and ncIoU."""
    arrays, features, golden = llmseg.arrays("forward"), llmseg.json("features"), llmseg.json("forward")
    rows = [row for row in golden["rules"] if row["weights"] == weights]
    lisa = llmseg.lisa if weights == "merged" else llmseg.unmerged
    frames = {case["image"]: llmseg.frame(case["image"], None if weights == "merged" else lisa) for case in features}
    talks = {case["image"]: turns_of(case["conversation"])[0] for case in features}
    for row in rows:
        threshold = 0.5 if row["threshold"] is None else row["threshold"]
        model = llmseg.load(weights, rule=RULES[row["function"]], threshold=threshold).model
        metrics = SegmentationMetrics()
        for case in row["per_image"]:
            name = case["image"]
            frame = frames[name]
            states = answer_states(lisa.model, frame, *talks[name]).states
            normalized, stored = row["module"] == "training", frame.regions.proposals
            size = (stored.height, stored.width) if normalized else (frame.height, frame.width)
            (found,) = choose_masks(model.network.head, frame.regions, states, size, strict=True)
            mask, labels = found.logits > 0, annotation(llmseg, name)[2]
            counted = (normalized_overlap if normalized else overlap_of)(mask, labels)
            assert (counted.intersection, counted.union) == (case["intersection"][1], case["union"][1]), (row, name)
            metrics.add_overlap(counted)
            if not normalized:
                assert np.count_nonzero(mask) == case["pred_pixels"]
            key = f"masks/{row['function']}/{row['threshold'] if row['threshold'] is not None else 'none'}"
            if weights == "merged" and not normalized:
                np.testing.assert_array_equal(np.packbits(mask), arrays[f"{key}/{stem(name)}_packed"])
        assert metrics.giou == pytest.approx(row["giou"], abs=1e-6), row["function"]
        assert metrics.ciou == pytest.approx(row["ciou"], abs=1e-6), row["function"]


def test_parity_of_metrics(llmseg):
    """Hand-made scores: what each rule chooses, and what comes of it."""
    golden = llmseg.json("metrics")
    for row in golden["results"]:
        metrics = SegmentationMetrics()
        for number, expected in zip(row["cases"], row["per_image"], strict=True):
            case = golden["cases"][number]
            masks = [run_length_mask(one, *one["size"]) for one in case["segs_rle"]]
            height, width = case["gt_hw"]
            labels = np.zeros((height, width), np.uint8)
            for value, lengths in case["gt_rle_by_value"].items():
                labels[run_length_mask(lengths, height, width)] = int(value)
            proposals = Proposals.from_masks(masks, *masks[0].shape)
            similarity, iop = (np.float32(case[key]) for key in ("similarity", "iop"))
            threshold = 0.5 if row["threshold"] is None else row["threshold"]
            chosen = choose(similarity, iop, RULES[row["function"]], threshold)
            normalized = row["module"] == "training"
            mask = proposals.union_at(chosen, *(masks[0].shape if normalized else (height, width)))
            counted = (normalized_overlap if normalized else overlap_of)(mask, labels)
            metrics.add_overlap(counted)
            found = [counted.intersection, counted.union]
            assert found == [expected["intersection"][1], expected["union"][1]], (row["function"], number)
        assert metrics.giou == pytest.approx(row["giou"], abs=1e-6)
        assert metrics.ciou == pytest.approx(row["ciou"], abs=1e-6)


def test_parity_of_odd_answers(llmseg):
    """Several [SEG], in one answer or in two, and one in the question: each has its own view of the proposals."""
    model, arrays = llmseg.lisa.model, llmseg.arrays("forward")
    visual = llmseg.meta["num_image_tokens"]
    for case in llmseg.json("forward")["odd"]:
        frame, name = llmseg.frame(case["image"]), case["case"]
        found = [states_of(model, frame, talk) for talk in case["conversations"]]
        for one, ids in zip(found, case["input_ids"], strict=True):
            assert one.ids == model.tokenizer.expand_image([id for id in ids if id != 0], visual), name
        states = torch.cat([one.states for one in found])
        if "exception" in case:  # the official code ends here
            assert len(states) == 0 and choose_masks(model.network.head, frame.regions, states, (4, 4)) == []
            continue
        with torch.inference_mode():
            embeddings = model.network.head.embed(states)
        scores = scores_of(model, frame, states)
        np.testing.assert_allclose(embeddings[:, 0], arrays[f"odd/{name}/seg_embedding"], **CLOSE)
        np.testing.assert_allclose(scores.iop, arrays[f"odd/{name}/iop_all"], **SCORES)
        np.testing.assert_allclose(scores.iop[:1], arrays[f"odd/{name}/pred_iou"], **SCORES)
        np.testing.assert_allclose(scores.embeddings, arrays[f"odd/{name}/mask_embedding_all"], **CLOSE)
        # The official similarity compares every [SEG] with the proposals as the first one sees them.
        first = torch.nn.functional.cosine_similarity(scores.embeddings[:1], embeddings, dim=-1)
        assert list(first.shape) == case["pred_similarity_shape"] and int(first.argmax()) == case["argmax_flat"]
        np.testing.assert_allclose(first, arrays[f"odd/{name}/similarity"], **SCORES)


def test_parity_of_generation(llmseg):
    """Greedy answers; their [SEG] choose among proposals, and prompt SAM as the official left-over does."""
    model, arrays = llmseg.lisa.model, llmseg.arrays("generate")
    head, side = model.network.head, model.network.config.sam.image_size
    drawn = SamPromptHead.of(model.network.model, None)
    for case in llmseg.json("generate"):
        name, image = case["case"], llmseg.image(case["image"])
        stored = llmseg.stored(case["image"]) or Proposals(*image.shape[:2])
        frame = llmseg.lisa.encode(image, stored)
        assert list(image.shape[:2]) == case["image_hw"]
        assert list(sam_resized_size(*image.shape[:2], side)) == case["sam_resize_hw"]
        assert list(sam_resized_size(*image.shape[:2], head.config.input_size)) == case["dino_resize_hw"]
        prompt = model.prompt_ids(frame, [(model.first_question(case["prompt"]), None)])
        expected = model.tokenizer.expand_image(arrays[f"{name}/output_ids"].tolist(), llmseg.meta["num_image_tokens"])
        (answer,) = generate_batch(model, frame, [prompt], len(expected) - len(prompt))
        end = [model.tokenizer.eos_id] if not answer.truncated else []
        assert prompt + answer.ids + end == expected, name
        assert answer.ids + end == case["new_ids"]
        states = [s for id, s in zip(answer.ids, answer.states, strict=True) if id == model.tokenizer.seg_id]
        assert len(states) == case["n_seg"]
        if not states:
            assert arrays[f"{name}/sam_low_res_masks"].size == 0
            continue
        with torch.inference_mode():
            embeddings = head.embed(torch.cat(states))
            low_res = drawn.decode(frame.features, embeddings)
            masks = upscale_logits(low_res, side, *image.shape[:2]) > 0
        np.testing.assert_allclose(embeddings[:, 0], arrays[f"{name}/seg_embedding"], **CLOSE)
        np.testing.assert_allclose(low_res[..., ::2, ::2], arrays[f"{name}/sam_low_res_masks"], atol=2e-3, rtol=1e-4)
        assert masks.sum((1, 2)).tolist() == case["sam_positive_pixels"]
        np.testing.assert_array_equal(np.packbits(masks), arrays[f"{name}/sam_pred_masks_packed"])
        if f"{name}/compose_pooled" not in arrays:
            continue
        scores = scores_of(model, frame, torch.cat(states))
        first = torch.nn.functional.cosine_similarity(scores.embeddings[:1], embeddings, dim=-1)
        np.testing.assert_allclose(frame.regions.pooled, arrays[f"{name}/compose_pooled"], **CLOSE)
        np.testing.assert_allclose(embeddings[:, 0], arrays[f"{name}/compose_seg_embedding"], **CLOSE)
        np.testing.assert_allclose(scores.embeddings, arrays[f"{name}/compose_mask_embedding_all"], **CLOSE)
        np.testing.assert_allclose(scores.iop, arrays[f"{name}/compose_iop_all"], **SCORES)
        np.testing.assert_allclose(first, arrays[f"{name}/compose_similarity"], **SCORES)
        np.testing.assert_allclose(scores.similarity, arrays[f"{name}/compose_similarity_per_seg"], **SCORES)


def test_parity_of_teacher_forced_masks(llmseg):
    """What `lisa-ros eval` scores is the default rule's mask."""
    arrays = llmseg.arrays("forward")
    for case in llmseg.json("features"):
        (found,) = teacher_forced(llmseg.lisa.model, llmseg.frame(case["image"]), *turns_of(case["conversation"])[0])
        expected = arrays[f"masks/validate_threshold/0.5/{stem(case['image'])}_packed"]
        np.testing.assert_array_equal(np.packbits(found.logits > 0), expected)
