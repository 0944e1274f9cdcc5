"""Losses, masks and gradients equal the official model_forward on the golden batches, and three AdamW updates do."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from golden_training import TINY

from lisa_ros.model.tokenizer import IMAGE_TOKEN_ID
from training.data.items import TrainingItem
from training.model.lora import official_key
from training.model.objective import LisaObjective

pytestmark = pytest.mark.unit
PLAIN, LORA = ("T1", "T2", "T3", "T4"), ("lora_T1", "lora_T2")


def objective_for(golden, case):
    if case in LORA:
        checkpoint = golden.unmerged_checkpoint()
    else:
        checkpoint = golden.checkpoint()
        checkpoint.network.requires_grad_(True)
        for part in (
            checkpoint.network.sam.image_encoder,
            checkpoint.network.sam.prompt_encoder,
            checkpoint.network.vision_tower,
        ):
            part.requires_grad_(False)
    return LisaObjective(checkpoint.network).train(), golden.collator(checkpoint)


def name_of(parameter, case):
    name = official_key(parameter)
    return name if case in LORA else name.removeprefix("base_model.model.")


def assert_losses(losses, expected, rel=1e-5):
    found = {"loss": losses.loss, "ce_loss": losses.ce, "mask_bce_loss": losses.bce, "mask_dice_loss": losses.dice}
    for name, value in found.items():
        assert value.item() == pytest.approx(expected[name], rel=rel, abs=1e-7), name


@pytest.mark.parametrize("case", PLAIN + LORA)
def test_losses_and_gradients(golden_variant, case):
    golden = golden_variant
    if golden.name != TINY.name and case not in ("T1", "lora_T1"):
        pytest.skip("larger variants are slow: one plain and one adapted batch")
    objective, collator = objective_for(golden, case)
    batch = collator(golden.items(case))
    losses = objective(batch)
    assert_losses(losses, golden.train[case]["losses"])
    losses.loss.backward()
    norms = golden.train[case]["grad_norms"]
    seen = set()
    for parameter, value in objective.network.named_parameters():
        name = name_of(parameter, case)
        gradient = value.grad
        if name in norms:
            seen.add(name)
            assert gradient is not None, name
            assert gradient.norm().item() == pytest.approx(norms[name], rel=1e-4, abs=1e-6), name
            key = f"{case}/grad/{name}"
            if key in golden.arrays:
                expected = golden.arrays[key]
                np.testing.assert_allclose(gradient.numpy(), expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
        else:
            assert gradient is None or not gradient.any(), name
    assert seen == set(norms)


@pytest.mark.parametrize("case", ["T1", "T2", "lora_T1"])
def test_ids_states_and_masks(golden_variant, case):
    golden = golden_variant
    objective, collator = objective_for(golden, case)
    batch = collator(golden.items(case))
    visual = golden.meta["num_image_tokens"]
    for mine, mask, official in zip(batch.ids, batch.attention_mask, golden.arrays[f"{case}/input_ids"], strict=True):
        expected = [id for one in official[official != 0] for id in [one] * (visual if one == IMAGE_TOKEN_ID else 1)]
        assert mine[mask].tolist() == expected
    assert batch.states.tolist() == golden.arrays[f"{case}/seg_positions"].tolist()
    with torch.no_grad():
        logits = [one for one, _ in objective.masks(batch, *objective.read(batch))]
    for number, mine in enumerate(logits):
        if (key := f"{case}/pred_masks_{number}") not in golden.arrays:
            continue
        expected = golden.arrays[key]
        scale = max(1e-4, 2e-5 * np.abs(expected).max(initial=0))
        np.testing.assert_allclose(mine.numpy(), expected, atol=scale, rtol=0)


def test_three_updates(golden_variant):
    """Two micro-batches an update, gradients clipped to 1, AdamW as published.

    The reference began with the gradients of its preceding backward pass (lora_T2) still in place.
    """
    golden = golden_variant
    objective, collator = objective_for(golden, "lora_T1")
    batches = [collator(golden.items(case)) for case in LORA]
    parameters = [p for p in objective.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=3e-4, betas=(0.9, 0.95), weight_decay=0.0)
    objective(batches[1]).loss.backward()
    for expected in golden.train["adamw_steps"]["steps"]:
        optimizer.param_groups[0]["lr"] = expected["lr"]
        for batch, official in zip(batches, expected["micro_losses"], strict=True):
            losses = objective(batch)
            assert_losses(losses, official, rel=1e-4)
            (losses.loss / 2).backward()
        norm = torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        assert norm.item() == pytest.approx(expected["grad_norm_before_clip"], rel=1e-4)
        optimizer.step()
        optimizer.zero_grad()
    with torch.no_grad():
        for batch, case in zip(batches, ("T1", "T2"), strict=True):
            final = golden.train["adamw_steps"]["final_loss"][case]
            assert objective(batch).loss.item() == pytest.approx(final, rel=1e-4)


def test_text_and_image_rows_in_one_batch_do_not_touch_each_other():
    """A text-only row gives the same states beside an image row as alone; a batch of text alone trains."""
    from training.data.items import TrainingItem

    checkpoint = TINY.unmerged_checkpoint()
    objective, collator = LisaObjective(checkpoint.network).train(), TINY.collator(checkpoint)
    text = TrainingItem(
        image=None,
        conversations=((("Who are you?", "A dog."),),),
        masks=np.zeros((0, 0, 0), bool),
        ignore=None,
        source="text",
        key="0",
    )
    pictured = TINY.items("T1")
    mixed, alone = collator([*pictured, text]), collator([text])
    with torch.no_grad():
        hidden, _ = objective.read(mixed)
        own, _ = objective.read(alone)
        length = alone.ids.shape[1]
        torch.testing.assert_close(hidden[-1, :length], own[0], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(hidden[:-1], objective.read(collator(pictured))[0], atol=1e-5, rtol=1e-4)
    losses = objective(alone)
    assert losses.bce == losses.dice == 0
    losses.loss.backward()
    for name, parameter in objective.network.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name


def test_ignored_pixels_have_no_gradient():
    from training.model.losses import image_mask_losses

    logits, target = torch.randn(2, 6, 8, requires_grad=True), torch.ones(2, 6, 8)
    valid = torch.ones(6, 8, dtype=torch.bool)
    valid[:2] = False
    image_mask_losses([logits], [target], [valid]).total.backward()
    assert (logits.grad[:, :2] == 0).all() and (logits.grad[:, 2:] != 0).all()
    inside = image_mask_losses([logits[:, 2:]], [target[:, 2:]], [None])
    torch.testing.assert_close(image_mask_losses([logits], [target], [valid]).total, inside.total)


@pytest.mark.parametrize("case", ["T1", "lora_T1"])
def test_gradients_come_in_one_order_whatever_is_in_the_batch(case):
    """ZeRO-2 adds up what processes send in the order of its coming, and their batches differ."""
    objective, collator = objective_for(TINY, case)
    order = []
    for name, parameter in objective.named_parameters():
        if parameter.requires_grad:
            parameter.register_post_accumulate_grad_hook(lambda _, name=name: order.append(name))
    text = TrainingItem(None, ((("Who are you?", "A dog."),),), np.zeros((0, 0, 0), bool), None, "text", "0")
    image = TINY.items("T1")[0]
    without_masks = replace(image, conversations=((("What is it?", "A dog."),),), masks=image.masks[:0])
    orders = []
    for items in (TINY.items("T1"), TINY.items("T2"), [without_masks], [text]):
        order.clear()
        objective(collator(items)).loss.backward()
        orders.append(list(order))
    assert len(orders[0]) > 20 and all(found == orders[0] for found in orders)
