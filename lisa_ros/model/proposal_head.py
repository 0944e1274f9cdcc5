"""LLM-Seg's head (arXiv 2404.08767): the state of a [SEG] chooses among proposals, by DINOv2's features of them."""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from segment_anything.modeling.transformer import Attention, TwoWayAttentionBlock
from torch import Tensor, nn

from lisa_ros.geometry.proposals import Proposals
from lisa_ros.model.dinov2 import Dinov2
from lisa_ros.model.heads import SamPromptHead
from lisa_ros.model.proposal_config import ProposalHeadConfig

_FIVE = 5
# Of the network's parts, by the names in published files; DINOv2 is not trained.
PARTS = (
    *("lisa_dino_conv", "lisa_attention_layers", "lisa_final_attn", "lisa_norm_final_attn"),
    *("lisa_iou_head", "lisa_embedding_head"),
)


def add_proposal_parts(model: nn.Module, config: ProposalHeadConfig) -> None:
    """Gives the language model, which holds all parts of a LISA, those that the head needs."""
    dim = config.dim
    model.visual_model_dinov2 = Dinov2(**config.dinov2)
    model.lisa_dino_conv = nn.Conv2d(config.dino_width, dim, 1)
    model.lisa_attention_layers = nn.ModuleList(
        TwoWayAttentionBlock(dim, config.heads, config.mlp_dim, nn.ReLU, attention_downsample_rate=1)
        for _ in range(config.depth)
    )
    model.lisa_final_attn = Attention(dim, config.heads)
    model.lisa_norm_final_attn = nn.LayerNorm(dim)
    model.lisa_iou_head = nn.Sequential(
        nn.Linear(dim, config.iop_dim), nn.ReLU(), nn.Linear(config.iop_dim, 1), nn.Sigmoid()
    )
    model.lisa_embedding_head = nn.Sequential(
        nn.Linear(dim, config.embedding_dim), nn.ReLU(), nn.Linear(config.embedding_dim, dim)
    )


class ProposalScores(NamedTuple):
    """What the head makes of n [SEG] and K proposals.

    Attributes:
        similarity: (n, K) cosine of each [SEG] and each proposal.
        iop: (n, K) expected share of each proposal's pixels that belong to the target of each [SEG].
        embeddings: (n, K, C) of the proposals as each [SEG] sees them.
    """

    similarity: Tensor
    iop: Tensor
    embeddings: Tensor


class ProposalScoreHead(SamPromptHead):
    """Scores proposals. Its states go through the same projection as those that prompt SAM's decoder."""

    def __init__(self, model: nn.Module, config: ProposalHeadConfig) -> None:
        """A head on the parts that `add_proposal_parts` made."""
        super().__init__(model.text_hidden_fcs[0], model.visual_model)
        self.model, self.config = model, config

    @classmethod
    def of(cls, model: nn.Module, config: ProposalHeadConfig) -> "ProposalScoreHead":
        """See SamPromptHead."""
        return cls(model, config)

    def region_map(self, pixels: Tensor) -> Tensor:
        """DINOv2's features (B, C, p, p) float32, p the pooling size, of preprocessed images (B, 3, S, S)."""
        with torch.no_grad():
            tokens = self.model.visual_model_dinov2(pixels)
        grid = self.config.input_size // self.config.dino_patch_size
        square = tokens.transpose(1, 2).unflatten(2, (grid, grid))
        reduced = self.model.lisa_dino_conv(square.to(self.model.lisa_dino_conv.weight.dtype))
        size = (self.config.pooling_size, self.config.pooling_size)
        return F.interpolate(reduced.float(), size, mode="bilinear", align_corners=False)

    def pool(self, region_map: Tensor, weights: Tensor) -> Tensor:
        """Mean features (K, C) of regions: of a map (C, p, p), weighted by maps (K, p, p)."""
        weights = weights.to(region_map)
        return torch.einsum("kyx,cyx->kc", weights, region_map) / (weights.sum((1, 2)) + 1e-8)[:, None]

    def score(self, embeddings: Tensor, pooled: Tensor) -> ProposalScores:
        """Scores of all proposals for each [SEG]; no [SEG] sees what another one made of them.

        Args:
            embeddings: (n, 1, C), see `embed`.
            pooled: (K, C), see `pool`.
        """
        model = self.model
        keys = embeddings
        queries = pooled.to(keys.dtype).expand(len(keys), -1, -1)
        for block in model.lisa_attention_layers:
            queries, keys = block(queries, keys, query_pe=0, key_pe=0)
        queries = model.lisa_norm_final_attn(queries + model.lisa_final_attn(queries, keys, keys))
        regions = model.lisa_embedding_head(queries)
        similarity = F.cosine_similarity(regions, embeddings, dim=-1)
        return ProposalScores(similarity, model.lisa_iou_head(queries)[..., 0], regions)


def weight_maps(proposals: Proposals, size: int, *, smooth: bool = True) -> Tensor:
    """(K, size, size) float32 share of each cell that a proposal covers, the image's lower or right side filled up.

    smooth: averages over cells, as in all published evaluations; False samples, as parts of the published training do.
    """
    masks = proposals.masks
    side = max(masks.shape[1:])
    padded = np.zeros((len(masks), side, side), np.float64)
    padded[:, : masks.shape[1], : masks.shape[2]] = masks
    if not len(masks):
        return torch.zeros((0, size, size))
    scaled = F.interpolate(
        torch.from_numpy(padded)[None], (size, size), mode="bilinear", align_corners=False, antialias=smooth
    )
    return scaled[0].float()


def choose(similarity: np.ndarray, iop: np.ndarray, rule: str, threshold: float) -> list[int]:
    """Indices of the proposals that a rule chooses for one [SEG]; none if none is above the threshold.

    Args:
        similarity: (K,) float32.
        iop: (K,) float32.
        rule: See proposal_config.RULES.
        threshold: Of the IoP, which must be above it.
    """
    if not len(similarity):
        return []
    above = np.flatnonzero(iop > np.float32(threshold)).tolist()
    order = np.argsort(-similarity, kind="stable")
    if rule == "similarity":
        return [int(order[0])]
    if rule == "similarity_and_iop":
        return sorted({int(order[0]), *above})
    if rule == "iop_of_five":
        return sorted(set(above) & set(order[:_FIVE].tolist()))
    return above
