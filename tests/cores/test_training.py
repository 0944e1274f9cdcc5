"""Training in CoReS' style: batches, losses, gradients, merge and validation equal to the official code."""

import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from lisa_ros.commands.evaluate_sets import open_dataset
from lisa_ros.evaluation.benchmarks.evaluate_dataset import evaluate
from lisa_ros.evaluation.benchmarks.scores import summarise
from lisa_ros.evaluation.predictors import TeacherForced
from lisa_ros.model.checkpoint import load
from lisa_ros.model.tokenizer import IMAGE_TOKEN_ID
from lisa_ros.model.weights import read_weight_file
from training.config.sections import LoraConfig
from training.data.collate import Collator
from training.data.items import TrainingItem
from training.model.lora import load_unmerged, merged_weights, official_key, prepare
from training.model.objective import LisaObjective

pytestmark = pytest.mark.unit
DATA = Path(__file__).parents[1] / "golden" / "datasets"
TRAINABLE = ("lm_head", "embed_tokens", "mask_decoder", "text_hidden_fcs")
LOSSES = {"loss": "loss", "ce_loss": "ce", "mask_bce_loss": "bce", "mask_dice_loss": "dice"}


def cases(variant):
    return {case["case"]: case for case in variant.json("prompts")["training"]}


@cache
def unmerged(variant):
    """With the trained adapters, as the official code had it before the merge."""
    checkpoint, lora = load(variant.checkpoint, **variant.options), variant.meta["lora"]
    checkpoint.network.set_attention("eager")
    prepare(checkpoint.network, LoraConfig(lora["r"], lora["alpha"], 0.0), TRAINABLE)
    path = variant.directory / "lora_pytorch_model.bin"
    load_unmerged(checkpoint.network, read_weight_file(path), path)
    return checkpoint


def collator_of(variant):
    checkpoint = unmerged(variant)
    network = checkpoint.network
    return Collator(
        checkpoint.tokenizer, network.config, visual_tokens=variant.meta["num_image_tokens"],
        clip=network.vision_tower.preprocess, max_length=1 << 16, use_ignore=False,
    )  # fmt: skip


def items_of(variant, case):
    arrays, found = variant.arrays("train"), []
    for number, name in enumerate(case["images"]):
        image = variant.image(int(re.search(r"\d+", name).group()))
        masks = arrays[f"{case['case']}/gt_masks_{number}"].astype(bool)
        talks = case["conversation_list"][case["offset"][number] : case["offset"][number + 1]]
        conversations = tuple(tuple(variant.turns(talk)) for talk in talks)
        found.append(TrainingItem(image, conversations, masks, None, "golden", f"{case['case']}/{number}"))
    return found


def test_parity_of_conversations(variant):
    """Ids and labels: the example in front is not learnt, the answer and its end are."""
    visual = variant.meta["num_image_tokens"]
    for name, case in cases(variant).items():
        batch = collator_of(variant)(items_of(variant, case))
        official = zip(batch.ids, batch.labels, batch.attention_mask, case["input_ids"], case["labels"], strict=True)
        for row, (ids, labels, mask, expected, learnt) in enumerate(official):
            real = case["attention_mask"][row]
            kept = [(id, label) for id, label, is_real in zip(expected, learnt, real, strict=True) if is_real]
            spread = [pair for pair in kept for _ in range(visual if pair[0] == IMAGE_TOKEN_ID else 1)]
            assert ids[mask].tolist() == [id for id, _ in spread], name
            assert labels[mask].tolist() == [label for _, label in spread], name


def test_parity_of_what_is_trained(variant):
    names = {official_key(name) for name, p in unmerged(variant).network.named_parameters() if p.requires_grad}
    assert names == set(variant.json("train")["trainable_parameter_names"])


def losses_of(variant, case, **options):
    """Losses, mask logits, and for each official name the parameter with its gradient."""
    network = unmerged(variant).network
    objective = LisaObjective(network, **options).train()
    objective.zero_grad()
    batch = collator_of(variant)(items_of(variant, case))
    with torch.no_grad():
        logits = objective(batch, predict=True)
    losses = objective(batch)
    losses.loss.backward()
    return losses, logits, {official_key(name): value for name, value in network.named_parameters()}


def rounding(variant, case):
    """How far the official float32 results are from those of the same network in float64: losses, gradient norms.

    Nothing that computes in another order can be nearer to them than they are to the truth.
    """
    golden, network = variant.json("train")[f"lora/{case['case']}"], unmerged(variant).network
    network.double()
    try:
        losses, _, named = losses_of(variant, case)
        norms = {name: value.grad.norm().item() for name, value in named.items() if value.grad is not None}
    finally:
        network.float()
    pairs = [(getattr(losses, ours).item(), golden["losses"][key]) for key, ours in LOSSES.items()]
    of_losses = max(abs(found / value - 1) for found, value in pairs if value)
    of_norms = max(abs(norms[name] / value - 1) for name, value in golden["grad_norms"].items() if value > 1e-4)
    assert of_losses < 1e-4 and of_norms < 1e-2
    return of_losses, of_norms


def test_parity_of_losses_and_gradients(variant):
    """Losses within 1e-5 and norms within 1e-4, or twice the official results' own rounding where that is more."""
    golden, arrays = variant.json("train"), variant.arrays("train")
    for name, case in cases(variant).items():
        expected = golden[f"lora/{name}"]
        of_losses, of_norms = rounding(variant, case)
        losses, logits, named = losses_of(variant, case)
        assert [len(one) for one in logits] == expected["n_seg"]
        for key, ours in LOSSES.items():
            value = getattr(losses, ours).item()
            assert value == pytest.approx(expected["losses"][key], rel=max(1e-5, 2 * of_losses), abs=1e-7), (name, key)
        for number, mine in enumerate(logits):
            official = arrays[f"{name}/pred_masks_{number}"]
            scale = max(1e-4, 2e-5 * np.abs(official).max(initial=0))
            np.testing.assert_allclose(mine.numpy(), official, atol=scale, rtol=0, err_msg=name)
        for key, value in named.items():
            if key in expected["grad_norms"]:
                norm = value.grad.norm().item()
                wanted = pytest.approx(expected["grad_norms"][key], rel=max(1e-4, 2 * of_norms), abs=2e-6)
                assert norm == wanted, (name, key)
            else:
                assert value.grad is None or not value.grad.any(), (name, key)
            if f"{name}/grad/{key}" in arrays:
                official = arrays[f"{name}/grad/{key}"]
                scale = max(1e-4, of_norms) * np.abs(official).max()
                np.testing.assert_allclose(value.grad.numpy(), official, rtol=1e-3, atol=scale, err_msg=key)
        head = named["base_model.model.lm_head.weight"].grad
        for row, id in (("SEG", "seg_token_idx"), ("SEMA", "seg_sema_token_idx")):
            if f"{name}/grad/lm_head_{row}_row" in arrays:
                official = arrays[f"{name}/grad/lm_head_{row}_row"]
                scale = max(1e-4, of_norms) * np.abs(official).max()
                np.testing.assert_allclose(head[variant.meta[id]].numpy(), official, rtol=1e-3, atol=scale)


def test_the_coarse_mask_can_be_supervised_too(variant):
    """With its weight the coarse mask's loss is added, and reaches the state of its own token."""
    case = next(case for name, case in cases(variant).items() if variant.json("train")[f"lora/{name}"]["n_seg"][0])
    plain, _, _ = losses_of(variant, case)
    both, _, _ = losses_of(variant, case, coarse_weight=1.0)
    double, _, _ = losses_of(variant, case, coarse_weight=2.0)
    assert both.ce == plain.ce and both.loss > plain.loss
    assert (double.loss - plain.loss).item() == pytest.approx(2 * (both.loss - plain.loss).item(), rel=1e-4)


def test_parity_of_the_merge(variant):
    stored = read_weight_file(variant.checkpoint / "pytorch_model.bin")
    made = merged_weights(unmerged(variant).network, torch.bfloat16)
    assert made.keys() == {key for key in stored if not key.endswith("inv_freq")}
    for key, value in made.items():
        assert torch.equal(value, stored[key]), key


@pytest.mark.parametrize(("key", "name"), [("ReasonSeg|val", "reasonseg"), ("refcoco|unc|val", "refcoco")])
def test_parity_of_validation(variant, tmp_path, key, name):
    """Scores, and each mask's size, of the teacher-forced validation on the miniature data."""
    official, dataset = dict(variant.json("metrics")[key]["scalars"]), open_dataset(name, DATA, "val")
    log = evaluate(dataset, TeacherForced(variant.lisa), name, tmp_path, first_wording=name == "reasonseg")
    overall = summarise(log)["overall"]
    assert overall["giou"] == pytest.approx(official["val/giou"], abs=1e-4)
    assert overall["ciou"] == pytest.approx(official["val/ciou"], abs=1e-4)
    assert overall["n"] == sum(row["n"] for row in variant.json("metrics")[key]["rows"])
