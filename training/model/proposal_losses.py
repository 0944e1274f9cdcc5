"""LLM-Seg's losses (arXiv 2404.08767): which proposals a [SEG] means, and how much of each belongs to its target."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

TEMPERATURE = 0.05  # of both distributions over proposals
IOP_SCALE = 50.0


class ProposalLosses(NamedTuple):
    """Scalars.

    Attributes:
        align: Of the similarities.
        iop: Of the expected IoP.
    """

    align: Tensor
    iop: Tensor


def align_loss(similarity: Tensor, iou: Tensor) -> Tensor:
    """KL divergence of what similarities choose from what IoUs would: (n, K) both -> (n,)."""
    wanted, found = (iou / TEMPERATURE).softmax(-1), (similarity / TEMPERATURE).log_softmax(-1)
    return F.kl_div(found, wanted, reduction="none").sum(-1)


def iop_loss(expected: Tensor, iop: Tensor) -> Tensor:
    """Squared error, up to e times less where the truth is low: (n, K) both -> (n,)."""
    return IOP_SCALE * ((iop - 1).exp() * (expected - iop) ** 2).mean(-1)


def image_losses(terms: list[tuple[Tensor, Tensor]], like: Tensor) -> ProposalLosses:
    """Mean over the [SEG] of each image, then over the images that have some; zero without any.

    terms: for each image the align and the IoP loss (n_i,) of its [SEG].
    """
    means = [tuple(part.sum() / (len(part) + 1e-8) for part in image) for image in terms if len(image[0])]
    if not means:
        zero = torch.zeros((), device=like.device)
        return ProposalLosses(zero, zero)
    return ProposalLosses(*(torch.stack(part).mean() for part in zip(*means, strict=True)))
