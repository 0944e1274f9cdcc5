"""LISA's losses (arXiv 2308.00692, section 3.2), with the official code's scales and weights."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from training.data.collate import IGNORE_INDEX

CE_WEIGHT = 1.0
BCE_WEIGHT = 2.0
DICE_WEIGHT = 0.5


class MaskLosses(NamedTuple):
    """Scalars, weights included; `total` is their sum."""

    bce: Tensor
    dice: Tensor

    @property
    def total(self) -> Tensor:
        """Sum of both."""
        return self.bce + self.dice


def dice_loss(
    logits: Tensor, target: Tensor, valid: Tensor | None = None, scale: float = 1000.0, eps: float = 1e-6
) -> Tensor:
    """Dice loss of each mask: logits and target (n, H, W) -> (n,). valid: (H, W) bool, the pixels that count.

    Sums are divided by `scale` before `eps` is added, as in the official code: published weights were trained so.
    """
    probability = logits.sigmoid()
    if valid is not None:
        probability, target = probability * valid, target * valid
    probability, target = probability.flatten(1), target.flatten(1)
    overlap = 2 * (probability / scale * target).sum(-1)
    size = (probability / scale).sum(-1) + (target / scale).sum(-1)
    return 1 - (overlap + eps) / (size + eps)


def bce_loss(logits: Tensor, target: Tensor, valid: Tensor | None = None) -> Tensor:
    """Mean binary cross-entropy of each mask's pixels: logits and target (n, H, W) -> (n,). valid: as in dice_loss."""
    values = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    if valid is None:
        return values.flatten(1).mean(-1)
    return (values * valid).flatten(1).sum(-1) / valid.sum().clamp(min=1)


def mask_losses(logits: Tensor, target: Tensor) -> MaskLosses:
    """Mean over masks of BCE and dice, weighted: logits and target float (n, H, W); zero when n is 0."""
    return image_mask_losses([logits], [target], [None])


def image_mask_losses(logits: list[Tensor], targets: list[Tensor], valid: list[Tensor | None]) -> MaskLosses:
    """Like `mask_losses` for the masks of several images of different sizes, each (n_i, H_i, W_i).

    valid: for each image (H_i, W_i) bool, the pixels that count, or None for all. Zero, with a gradient of zero, when
    there is no mask at all.
    """
    images = [image for image in zip(logits, targets, valid, strict=True) if len(image[0])]
    if not images:
        zero = sum(one.sum() for one in logits) * 0.0
        return MaskLosses(zero, zero)
    count = sum(len(one) for one in logits) + 1e-8
    bce = sum(bce_loss(*image).sum() for image in images)
    dice = sum(dice_loss(*image).sum() for image in images)
    return MaskLosses(BCE_WEIGHT * bce / count, DICE_WEIGHT * dice / count)


def answer_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy over tokens whose label is not -100; logits (n, vocabulary) stand at their labels (n,)."""
    return CE_WEIGHT * F.cross_entropy(logits.float(), labels, ignore_index=IGNORE_INDEX)


def soft_iou(logits: Tensor, target: Tensor) -> Tensor:
    """IoU of each thresholded mask (n,), for progress displays; 1 where both are empty."""
    prediction, truth = logits.flatten(1) > 0, target.flatten(1) > 0.5
    union = (prediction | truth).sum(-1)
    return torch.where(
        union > 0, (prediction & truth).sum(-1) / union.clamp(min=1), torch.ones_like(union, dtype=torch.float)
    )
