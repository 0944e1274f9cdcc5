"""GSVA's training equals its official code: batches, masks that enter the losses, losses, gradients."""

from functools import cached_property

import numpy as np
import pytest
import torch
from golden_variants import GsvaVariant, find_golden, turns_of

from lisa_ros.model.checkpoint import load
from lisa_ros.model.tokenizer import IMAGE_TOKEN_ID
from lisa_ros.model.weights import read_weight_file
from lisa_ros.types import REJ, SEG
from training.config.sections import LoraConfig
from training.data.collate import IGNORE_INDEX, Collator
from training.data.items import TrainingItem
from training.model.lora import load_unmerged, official_key, prepare
from training.model.losses import bce_loss, dice_loss
from training.model.objective import LisaObjective

pytestmark = pytest.mark.unit
TRAINABLE = ("lm_head", "embed_tokens", "mask_decoder", "text_hidden_fcs")
CASES = ("T1", "T2", "T3", "T4", "T5", "T6")


class GsvaTraining(GsvaVariant):
    """The variant's training data."""

    @cached_property
    def train(self) -> dict:
        return self.json("train")

    @cached_property
    def stored(self):
        return self.arrays("train")

    def ready(self) -> tuple[LisaObjective, Collator]:
        """The network with its trained adapters, as the official code had it, and the collator for it."""
        checkpoint = load(self.directory / "gsva_hf", **self.options)
        network = checkpoint.network
        prepare(network, LoraConfig(self.meta["lora"]["r"], self.meta["lora"]["alpha"], 0.0), TRAINABLE)
        load_unmerged(network, read_weight_file(self.directory / "gsva_pytorch_model.bin"), self.directory)
        collator = Collator(
            checkpoint.tokenizer,
            network.config,
            visual_tokens=self.meta["num_image_tokens"],
            clip=network.vision_tower.preprocess,
            max_length=self.meta["model_max_length"],
            use_ignore=False,
        )
        return LisaObjective(network).train(), collator

    def items(self, case: str) -> list[TrainingItem]:
        """The items of one golden batch."""
        offset, talks = self.stored[f"{case}/offset"], self.train[case]["conversation_list"]
        return [
            TrainingItem(
                image=self.image(index),
                conversations=tuple(tuple(turns_of(talk)) for talk in talks[offset[number] : offset[number + 1]]),
                masks=self.stored[f"{case}/gt_masks_{number}"].astype(bool),
                ignore=None,
                source="golden",
                key=f"{case}/{number}",
            )
            for number, index in enumerate(self.train[case]["images"])
        ]


VARIANTS = [GsvaTraining(directory) for directory in find_golden("gsva")]
pytestmark = [pytest.mark.unit, pytest.mark.parametrize("gsva", VARIANTS, ids=lambda one: one.directory.name)]


def cases(gsva):
    return [case for case in gsva.train if f"{case}/input_ids" in gsva.stored]


def test_parity_of_batches(gsva):
    """Ids, labels, states and the masks that the losses get; what is rejected is exactly zero."""
    objective, collator = gsva.ready()
    visual = gsva.meta["num_image_tokens"]
    assert len(cases(gsva)) >= 5
    for case in cases(gsva):
        batch = collator(gsva.items(case))
        for row, mask in enumerate(batch.attention_mask):
            kept = gsva.stored[f"{case}/attention_masks"][row]
            ids, labels = gsva.stored[f"{case}/input_ids"][row][kept], gsva.stored[f"{case}/labels"][row][kept]
            wide = [visual if id == IMAGE_TOKEN_ID else 1 for id in ids]
            assert batch.ids[row][mask].tolist() == np.repeat(ids, wide).tolist(), case
            assert batch.labels[row][mask].tolist() == np.repeat(labels, wide).tolist(), case
        kinds = [kind for image in batch.kinds for kind in image]
        assert [kind for talk in gsva.train[case]["item_tokens_per_conversation"] for kind in talk] == kinds
        seg = [index for index, kind in enumerate(kinds) if kind == SEG]
        assert batch.states[seg].tolist() == gsva.stored[f"{case}/seg_positions"].tolist(), case
        with torch.no_grad():
            hidden, features = objective.read(batch)
            states = hidden[batch.states[seg][:, 0], batch.states[seg][:, 1]]
            embeddings = objective.network.head.embed(states)[:, 0]
            logits = [one for one, _ in objective.masks(batch, hidden, features)]
        np.testing.assert_allclose(states.numpy(), gsva.stored[f"{case}/hidden"], atol=1e-4, rtol=0)
        np.testing.assert_allclose(embeddings.numpy(), gsva.stored[f"{case}/seg_embeddings"], atol=1e-4, rtol=0)
        terms = iter(gsva.train[case]["per_image_loss_terms"])
        for mine, masks in zip(logits, batch.masks, strict=True):
            for name, loss in (("bce", bce_loss), ("dice", dice_loss)):
                mean = loss(mine, masks.float()).mean().item() if len(mine) else 0.0
                term, expected = next(terms)
                assert term == name and mean == pytest.approx(expected, rel=1e-5, abs=1e-7), case
        for number, mine in enumerate(logits):
            np.testing.assert_allclose(mine, gsva.stored[f"{case}/pred_masks_{number}"], atol=2e-4, rtol=0)
            assert all(not mask.any() for mask, kind in zip(mine, batch.kinds[number], strict=True) if kind == REJ)


def test_parity_of_losses_and_gradients(gsva):
    objective, collator = gsva.ready()
    learns = {name for name, parameter in objective.network.named_parameters() if parameter.requires_grad}
    assert {official_key(name) for name in learns} == set(gsva.train["trainable_parameter_names"])
    for case in cases(gsva):
        expected = gsva.train[case]
        objective.zero_grad(set_to_none=True)
        losses = objective(collator(gsva.items(case)))
        found = {"loss": losses.loss, "ce_loss": losses.ce, "mask_bce_loss": losses.bce, "mask_dice_loss": losses.dice}
        for name, value in found.items():
            assert value.item() == pytest.approx(expected["losses"][name], rel=1e-5, abs=1e-7), (case, name)
        losses.loss.backward()
        for name, parameter in objective.network.named_parameters():
            if name not in learns:
                continue
            key = official_key(name)
            norm = expected["grad_norms"][key] or 0.0  # None: the official code gives it no gradient
            assert parameter.grad.norm().item() == pytest.approx(norm, rel=1e-4, abs=1e-6), (case, key)
            compare_stored(gsva.stored, case, key, parameter.grad.numpy(), gsva.lisa.model.kinds)


def compare_stored(stored, case, key, gradient, kinds):
    """Whole gradients, and the rows of [SEG] and [REJ]."""
    if f"{case}/grad/{key}" in stored:
        expected = stored[f"{case}/grad/{key}"]
        np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-4 * max(np.abs(expected).max(), 1e-6))
    if f"{case}/grad_rows/{key}" in stored:
        expected = stored[f"{case}/grad_rows/{key}"]
        rows = gradient[[next(id for id, kind in kinds.items() if kind == one) for one in (SEG, REJ)]]
        np.testing.assert_allclose(rows, expected, rtol=1e-3, atol=1e-4 * max(np.abs(expected).max(), 1e-6))


def test_parity_of_training_labels(gsva):
    """The labels of every training conversation that the official collator made."""
    _, collator = gsva.ready()
    visual, compared = gsva.meta["num_image_tokens"], 0
    for case in gsva.json("prompts")["prompts"]:
        turns = turns_of(case["conversation"])
        if case.get("labels") is None or not turns:
            continue
        mine = collator.tokenize(turns, has_image=IMAGE_TOKEN_ID in case["input_ids"])
        wide = [visual if id == IMAGE_TOKEN_ID else 1 for id in case["input_ids"]]
        assert mine.ids == np.repeat(case["input_ids"], wide).tolist(), case["name"]
        assert mine.labels == np.repeat(case["labels"], wide).tolist(), case["name"]
        compared += any(label != IGNORE_INDEX for label in mine.labels)
    assert compared >= 10
