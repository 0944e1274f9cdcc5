"""LISA's mask losses (arXiv 2308.00692, section 3.2), with the official code's scales and weights."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

CE_WEIGHT = 1.0
BCE_WEIGHT = 2.0
DICE_WEIGHT = 0.5


class MaskLosses(NamedTuple):
    """Scalars, weights included; `total` is their sum."""

    bce: Tensor
    dice: Tensor

    @property
    def total(self) -> Tensor:
        return self.bce + self.dice


def dice_loss(logits: Tensor, target: Tensor, scale: float = 1000.0, eps: float = 1e-6) -> Tensor:
    """Dice loss of each mask: logits and target (n, H, W) -> (n,).

    Sums are divided by `scale` before `eps` is added, as in the official code: published weights were trained so.
    """
    probability = logits.sigmoid().flatten(1)
    target = target.flatten(1)
    overlap = 2 * (probability / scale * target).sum(-1)
    size = (probability / scale).sum(-1) + (target / scale).sum(-1)
    return 1 - (overlap + eps) / (size + eps)


def mask_losses(logits: Tensor, target: Tensor) -> MaskLosses:
    """Mean over masks of BCE and dice, weighted: logits and target float (n, H, W); zero when n is 0."""
    if not len(logits):
        zero = logits.sum() * 0.0
        return MaskLosses(zero, zero)
    bce = F.binary_cross_entropy_with_logits(logits, target, reduction="none").flatten(1).mean(-1)
    count = len(logits) + 1e-8
    return MaskLosses(BCE_WEIGHT * bce.sum() / count, DICE_WEIGHT * dice_loss(logits, target).sum() / count)


def answer_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy over tokens whose label is not -100; logits (n, vocabulary) stand at their labels (n,)."""
    return CE_WEIGHT * F.cross_entropy(logits.float(), labels, ignore_index=-100)


def soft_iou(logits: Tensor, target: Tensor) -> Tensor:
    """IoU of each thresholded mask (n,), for progress displays; 1 where both are empty."""
    prediction, truth = logits.flatten(1) > 0, target.flatten(1) > 0.5
    union = (prediction | truth).sum(-1)
    return torch.where(
        union > 0, (prediction & truth).sum(-1) / union.clamp(min=1), torch.ones_like(union, dtype=torch.float)
    )
