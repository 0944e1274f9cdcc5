"""Proposals of a frame with their features, and the masks that [SEG] states choose among them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lisa_ros.geometry.proposals import Proposals
from lisa_ros.model.preprocess import sam_preprocess
from lisa_ros.model.proposal_head import ProposalScoreHead, choose, weight_maps
from lisa_ros.types import Candidate

NOT_CHOSEN = -20.0  # log-odds of a pixel that no chosen proposal covers
_LEAST = 1e-6  # of one that a chosen proposal covers
NO_PROPOSALS = "no proposals were found in the image, so that there is nothing to choose among"


@dataclass(frozen=True)
class Regions:
    """What a system that chooses among proposals knows of an image.

    Attributes:
        proposals: The masks.
        pooled: (K, C) features of each.
    """

    proposals: Proposals
    pooled: Tensor


class MaskLogits(NamedTuple):
    """The mask of one target.

    Attributes:
        logits: (H, W) float32, above 0 inside. Of chosen proposals: the log-odds of the share of the proposal that is
            expected to belong to the target, of the best one that covers the pixel, counted from the rule's threshold.
        coarse: (H, W) float32 logits of the mask before; None without one.
        candidate: The best of the chosen proposals; None where the mask was drawn, or none was chosen.
    """

    logits: np.ndarray
    coarse: np.ndarray | None = None
    candidate: Candidate | None = None


@torch.inference_mode()
def encode_regions(head: ProposalScoreHead, image: np.ndarray, proposals: Proposals) -> Regions:
    """The proposals of an image (H, W, 3) uint8 RGB with their features."""
    device = head.model.lisa_dino_conv.weight.device
    if not len(proposals):
        return Regions(proposals, torch.zeros((0, head.config.dim), device=device))
    pixels = sam_preprocess(image, head.config.input_size).to(device)
    region_map = head.region_map(pixels)[0]
    return Regions(proposals, head.pool(region_map, weight_maps(proposals, head.config.pooling_size).to(device)))


@torch.inference_mode()
def choose_masks(
    head: ProposalScoreHead, regions: Regions, states: Tensor, size: tuple[int, int], *, strict: bool = False
) -> list[MaskLogits | None]:
    """The masks of [SEG] states, each by itself.

    Args:
        head: The network's head.
        regions: Of the image.
        states: (n, hidden_size) that predict the [SEG].
        size: (H, W) of the image.
        strict: Whether a rule that chooses nothing, and an image without proposals, mean an empty mask, as in published
            evaluations. Otherwise the most similar proposal is taken.

    Returns:
        A mask for each state; None where there is no proposal, unless `strict`.
    """
    if not len(regions.proposals):
        return [MaskLogits(np.full(size, NOT_CHOSEN, np.float32)) if strict else None] * len(states)
    scores = head.score(head.embed(states), regions.pooled)
    rule, threshold = head.config.rule, head.config.threshold
    found = []
    for row in range(len(states)):
        similarity, iop = (one[row].float().cpu().numpy() for one in scores[:2])
        chosen = choose(similarity, iop, rule, threshold)
        if not chosen and not strict:
            chosen = choose(similarity, iop, "similarity", threshold)
        found.append(_mask(regions.proposals, chosen, similarity, iop, threshold, size))
    return found


def _mask(
    proposals: Proposals,
    chosen: Sequence[int],
    similarity: np.ndarray,
    iop: np.ndarray,
    threshold: float,
    size: tuple[int, int],
) -> MaskLogits:
    logits = np.full(size, NOT_CHOSEN, np.float32)
    for index in sorted(chosen, key=lambda one: iop[one]):
        logits[proposals.union_at([index], *size)] = max(_log_odds(iop[index]) - _log_odds(threshold), _LEAST)
    best = max(chosen, key=lambda one: similarity[one], default=None)
    candidate = None if best is None else Candidate(int(best), float(similarity[best]), tuple(sorted(map(int, chosen))))
    return MaskLogits(logits, None, candidate)


def _log_odds(probability: float) -> float:
    bounded = min(max(float(probability), 1e-6), 1 - 1e-6)
    return float(np.log(bounded / (1 - bounded)))
