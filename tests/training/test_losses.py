"""Mask losses against their formulas."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from training.model.losses import BCE_WEIGHT, DICE_WEIGHT, answer_loss, dice_loss, mask_losses, soft_iou

pytestmark = pytest.mark.unit


def test_losses_match_a_direct_computation():
    torch.manual_seed(0)
    logits, target = torch.randn(3, 20, 30, dtype=torch.float64), (torch.rand(3, 20, 30) > 0.7).double()
    probability = 1 / (1 + torch.exp(-logits))
    bce = -(target * probability.log() + (1 - target) * (1 - probability).log()).mean((1, 2))
    overlap = (2 * (probability * target).sum((1, 2)) + 1e-3) / (probability.sum((1, 2)) + target.sum((1, 2)) + 1e-3)
    losses = mask_losses(logits, target)
    torch.testing.assert_close(losses.bce, BCE_WEIGHT * bce.mean())
    torch.testing.assert_close(losses.dice, DICE_WEIGHT * (1 - overlap).mean())
    torch.testing.assert_close(losses.total, losses.bce + losses.dice)


@settings(max_examples=20)
@given(seed=st.integers(0, 1000), sharpness=st.floats(8, 30))
def test_a_perfect_mask_costs_nothing_and_its_opposite_the_most(seed, sharpness):
    target = (torch.rand(2, 8, 8, generator=torch.Generator().manual_seed(seed)) > 0.5).float()
    target[:, 0, 0], target[:, 1, 1] = 1, 0
    right, wrong = (target * 2 - 1) * sharpness, (1 - target * 2) * sharpness
    assert mask_losses(right, target).total < 0.02 < 0.5 < mask_losses(wrong, target).total
    assert soft_iou(right, target).tolist() == [1, 1] and soft_iou(wrong, target).tolist() == [0, 0]
    assert (dice_loss(wrong, target) > 0.99).all()


def test_no_masks_give_zero_with_a_gradient():
    logits = torch.zeros(0, 4, 4, requires_grad=True)
    mask_losses(logits, torch.zeros(0, 4, 4)).total.backward()
    assert logits.grad.shape == (0, 4, 4)


def test_answer_loss_ignores_prompt_tokens():
    logits, labels = torch.randn(5, 11), torch.tensor([-100, 3, -100, 0, 10])
    kept = labels != -100
    torch.testing.assert_close(
        answer_loss(logits, labels), torch.nn.functional.cross_entropy(logits[kept], labels[kept])
    )
