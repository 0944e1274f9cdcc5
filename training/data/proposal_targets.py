"""What LLM-Seg learns of an image's proposals: where each is, and how it overlaps with each target."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lisa_ros.geometry.masks import at_size
from lisa_ros.geometry.proposals import Proposals
from lisa_ros.model.proposal_head import weight_maps


class ProposalTargets(NamedTuple):
    """Of one image with n targets and K proposals.

    Attributes:
        weights: (K, p, p) float32 share of each cell that a proposal covers.
        iou: (n, K) float32 intersection over union with each target.
        iop: (n, K) float32 share of a proposal that belongs to each target; 0 for a proposal without pixels.
        proposals: The proposals themselves.
    """

    weights: Tensor
    iou: Tensor
    iop: Tensor
    proposals: Proposals

    def to(self, device: torch.device) -> "ProposalTargets":
        """On another device."""
        moved = (part.to(device, non_blocking=True) for part in self[:3])
        return ProposalTargets(*moved, self.proposals)


def proposal_targets(proposals: Proposals, targets: np.ndarray, pooling_size: int) -> ProposalTargets:
    """Overlaps at the size of the proposals.

    Args:
        proposals: Of the image.
        targets: (n, H, W) bool at the size of the image; sampled at the centres of the proposals' pixels.
        pooling_size: Side p of the map that regions are averaged on.
    """
    masks = proposals.masks
    flat = masks.reshape(len(masks), -1).astype(np.float64)
    sampled = [at_size(target, masks.shape[1:]).ravel() for target in targets]
    wanted = np.stack(sampled).astype(np.float64) if sampled else np.zeros((0, flat.shape[1]))
    both, areas, sizes = wanted @ flat.T, flat.sum(1)[None], wanted.sum(1)[:, None]
    iou = np.divide(both, areas + sizes - both, out=np.zeros_like(both), where=areas + sizes - both > 0)
    iop = np.divide(both, areas, out=np.zeros_like(both), where=np.broadcast_to(areas > 0, both.shape))
    return ProposalTargets(
        weight_maps(proposals, pooling_size), torch.from_numpy(iou).float(), torch.from_numpy(iop).float(), proposals,
    )  # fmt: skip
