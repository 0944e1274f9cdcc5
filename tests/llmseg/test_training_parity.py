"""LLM-Seg's training equals its official code: inputs, losses, scores, gradients."""

import numpy as np
import pytest
import torch
from golden_variants import turns_of

from lisa_ros.inference.teacher_forcing import teacher_forced
from lisa_ros.model.checkpoint import load
from lisa_ros.model.tokenizer import IMAGE_TOKEN_ID
from lisa_ros.model.unmerged import read_unmerged
from training.config.sections import LoraConfig
from training.data.collate import Collator
from training.data.items import TrainingItem
from training.model.lora import load_unmerged, official_key, prepare
from training.model.proposal_losses import align_loss, iop_loss
from training.model.proposal_objective import LossWeights, ProposalObjective

pytestmark = pytest.mark.unit
PARTS = ("lm_head", "embed_tokens", "text_hidden_fcs", "lisa_")
FROZEN = ("vision_tower.", "model.visual_model.", "model.visual_model_dinov2.")


def ready(llmseg, weights):
    """The network as the official code had it, and the collator for it."""
    checkpoint = load(llmseg.directory / "llmseg_hf", **llmseg.options)
    network = checkpoint.network
    if weights == "unmerged":
        lora = llmseg.meta["lora"]
        prepare(network, LoraConfig(lora["r"], lora["alpha"], 0.0, tuple(lora["target"])), PARTS)
        path, published = read_unmerged(llmseg.directory / "ckpt_model")
        load_unmerged(network, {key: value.float() for key, value in published.items()}, path)
    else:
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(not name.startswith(FROZEN))
    collator = Collator(
        checkpoint.tokenizer,
        network.config,
        visual_tokens=llmseg.meta["num_image_tokens"],
        clip=network.vision_tower.preprocess,
        max_length=512,
        use_ignore=False,
    )
    return ProposalObjective(network).train(), collator


def items_of(llmseg, case):
    """The items of a golden batch. The official code pairs targets with [SEG] by rank, whoever asked for them (T5)."""
    name, offset = case["case"], case["offset"]
    for number, image in enumerate(case["images"]):
        talks = case["conversation_list"][offset[number] : offset[number + 1]]
        height, width = llmseg.image(image).shape[:2]
        packed = llmseg.arrays("train")[f"inputs/{name}/gt_masks_packed_{number}"]
        masks = np.unpackbits(packed)[: len(packed) * 8 // (height * width) * height * width]
        masks = masks.reshape(-1, height, width).astype(bool)
        count = sum(answer.count("[SEG]") for talk in talks for _, answer in turns_of(talk))
        yield TrainingItem(
            image=llmseg.image(image),
            conversations=tuple(tuple(turns_of(talk)) for talk in talks),
            masks=masks[:count],
            ignore=None,
            source="golden",
            key=image,
            proposals=llmseg.stored(image),
        )


@pytest.mark.parametrize("weights", ["unmerged", "merged"])
def test_parity_of_losses_and_gradients(llmseg, weights):
    objective, collator = ready(llmseg, weights)
    arrays, golden = llmseg.arrays("train"), llmseg.json("train")
    learns = {name: p for name, p in objective.network.named_parameters() if p.requires_grad}
    key_of = official_key if weights == "unmerged" else str
    if weights == "unmerged":
        assert {key_of(name) for name in learns} == set(golden["trainable"]["trainable"])
        adapted = {name.split(".lora_")[0] for name in learns if ".lora_A" in name}
        assert adapted == set(golden["trainable"]["lora_target_modules"])
    for case in (one for one in golden["cases"] if one["weights"] == weights):
        name, factors = case["case"], case["loss_weights"]
        objective.weights = LossWeights(
            factors.get("ce", 1.0), factors.get("align", 1.0), factors.get("regression", 1.0)
        )
        batch = collator(list(items_of(llmseg, case)))
        if case.get("input_ids"):
            visual = llmseg.meta["num_image_tokens"]
            for row, (ids, labels) in enumerate(zip(case["input_ids"], case["labels"], strict=True)):
                wide = [visual if id == IMAGE_TOKEN_ID else 1 for id in ids]
                count = int(batch.attention_mask[row].sum())
                assert batch.ids[row][:count].tolist() == np.repeat(ids, wide).tolist()[:count], name
                assert batch.labels[row][:count].tolist() == np.repeat(labels, wide).tolist()[:count], name
        for number, targets in enumerate(batch.proposals):
            for kind in ("iou", "iop"):
                if (key := f"inputs/{name}/{kind}_{number}") in arrays:
                    mine = getattr(targets, kind)
                    np.testing.assert_allclose(mine, arrays[key][: len(mine)], atol=1e-7, rtol=0)
        objective.zero_grad(set_to_none=True)
        losses = objective(batch)
        if "exception" in case:  # the official code ends here; ours learns the words
            assert losses.align == losses.iop == 0 and losses.ce > 0
            losses.loss.backward()
            continue
        assert batch.states.tolist() == case["seg_positions"]
        for kind, value in zip(("loss", "ce_loss", "align_loss", "regression_loss"), losses, strict=True):
            assert value.item() == pytest.approx(case["losses"][kind], rel=1e-5), (name, kind)
        check_scores(objective, batch, case, f"{weights}/{name}", arrays)
        losses.loss.backward()
        for own, parameter in learns.items():
            key = key_of(own)
            assert parameter.grad.norm().item() == pytest.approx(case["grad_norms"][key] or 0.0, rel=1e-4, abs=1e-6), (
                name,
                key,
            )
            if (stored := f"{weights}/{name}/grad/{key}") in arrays:
                expected = arrays[stored]
                close = {"rtol": 1e-3, "atol": 1e-4 * max(np.abs(expected).max(), 1e-6)}
                np.testing.assert_allclose(parameter.grad.numpy(), expected, **close, err_msg=key)


@torch.no_grad()
def check_scores(objective, batch, case, key, arrays):
    """Embeddings, and the scores and terms of each [SEG]."""
    hidden, _ = objective.read(batch)
    head, embedded = objective.network.head, []
    for number, (_, pooled, states) in enumerate(objective.images(batch, hidden)):
        embedded.append(head.embed(states))
        scores = head.score(embedded[-1], pooled)
        np.testing.assert_allclose(scores.iop, arrays[f"{key}/iop_{number}"], atol=1e-5, rtol=0)
        expected = arrays[f"{key}/mask_embedding_{number}"]
        step = 1 if expected.shape[1] == scores.embeddings.shape[1] else 5
        np.testing.assert_allclose(scores.embeddings[:, ::step], expected, atol=1e-4, rtol=0)
    np.testing.assert_allclose(torch.cat(embedded)[:, 0], arrays[f"{key}/seg_embedding"], atol=1e-4, rtol=0)
    terms = objective.image_terms(batch, hidden)
    for place, kind in enumerate(("kl_terms", "regression_terms")):
        found = torch.cat([one[place] for one in terms]).tolist()
        assert found == pytest.approx(case[kind], rel=1e-5), (key, kind)


def test_parity_of_the_loss_functions(llmseg):
    arrays, expected = llmseg.arrays("train"), llmseg.json("train")["loss_only"]
    proposals, target, truth, iop = (
        torch.from_numpy(arrays[f"loss_only/{name}"]) for name in ("proposal_embeds", "target_embed", "gt", "pred_iop")
    )
    similarity = torch.nn.functional.cosine_similarity(proposals, target, dim=-1)[None]
    assert align_loss(similarity, truth.T).item() == pytest.approx(expected["softmax_align_loss"], rel=1e-5)
    assert iop_loss(iop.T, truth.T).item() == pytest.approx(expected["iou_regression_loss"], rel=1e-5)


def test_predictions_are_the_engines(llmseg):
    """In validation during training the same proposals are chosen as by the engine."""
    objective, collator = ready(llmseg, "merged")
    case = next(one for one in llmseg.json("train")["cases"] if len(one["images"]) == 2)
    items = list(items_of(llmseg, case))
    with torch.no_grad():
        found = objective.eval()(collator(items), predict=True)
    assert [tuple(one.shape) for one in found] == [item.masks.shape for item in items]
    for item, logits in zip(items, found, strict=True):
        frame = llmseg.lisa.encode(item.image, llmseg.stored(item.key))
        for ((question, answer),), row in zip(item.conversations, logits, strict=True):
            (one,) = teacher_forced(llmseg.lisa.model, frame, question, answer)
            np.testing.assert_array_equal(row.numpy() > 0, one.logits > 0)
