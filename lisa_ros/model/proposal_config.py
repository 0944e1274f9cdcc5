"""Sizes and rules of a network that chooses among proposals: checked, and read off the shapes of published weights."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

from torch import Tensor

from lisa_ros.errors import CheckpointError, ConfigurationError
from lisa_ros.model.checks import check_whole
from lisa_ros.model.dinov2 import dinov2_sizes
from lisa_ros.model.proposals import ProposalOptions

DINO = "model.visual_model_dinov2."  # of the region encoder's keys
# How proposals are chosen: the most similar; all whose expected IoP (intersection over proposal) is above the
# threshold; both together; those of the five most similar whose IoP is above it.
RULES = ("similarity", "iop", "similarity_and_iop", "iop_of_five")


@dataclass(frozen=True)
class ProposalHeadConfig:
    """Of LLM-Seg; the defaults are those of the published weights.

    Attributes:
        dim: Width of embeddings of regions and of [SEG].
        heads: Attention heads of the fusion.
        depth: Its blocks.
        mlp_dim: Width inside its MLPs.
        iop_dim: Width inside the head of the IoP.
        embedding_dim: Width inside the head of the embeddings.
        dino_width: Channels of DINOv2.
        dino_depth: Its blocks.
        dino_heads: Its attention heads.
        dino_hidden: Width inside its MLPs.
        dino_patch_size: Side of its patches, px.
        dino_positions: Position encodings that it stores.
        input_size: Side of the square image that it sees, px.
        pooling_size: Side of the map that regions are averaged on.
        long_side: Of the image that proposals are made of, px.
        limit: Most proposals of an image.
        rule: How proposals are chosen, one of RULES.
        threshold: Of the IoP.
    """

    dim: int = 256
    heads: int = 8
    depth: int = 2
    mlp_dim: int = 2048
    iop_dim: int = 128
    embedding_dim: int = 2048
    dino_width: int = 1024
    dino_depth: int = 24
    dino_heads: int = 16
    dino_hidden: int = 4096
    dino_patch_size: int = 14
    dino_positions: int = 1370
    input_size: int = 896
    pooling_size: int = 256
    long_side: int = 1024
    limit: int = 50
    rule: str = "iop"
    threshold: float = 0.5

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.type is int:
                check_whole(f"proposal_head.{field.name}", getattr(self, field.name))
        for width, heads in (("dim", "heads"), ("dino_width", "dino_heads")):
            if getattr(self, width) % getattr(self, heads):
                raise ConfigurationError(
                    f"proposal_head.{width} {getattr(self, width)} is not a multiple of {heads} {getattr(self, heads)}"
                )
        if self.input_size % self.dino_patch_size:
            raise ConfigurationError(
                f"proposal_head.input_size {self.input_size} is not a multiple of its patches' {self.dino_patch_size}"
            )
        if self.rule not in RULES:
            raise ConfigurationError(f"proposal_head.rule is {self.rule!r}; there are {', '.join(RULES)}")
        is_number = isinstance(self.threshold, int | float) and not isinstance(self.threshold, bool)
        if not is_number or not 0 <= self.threshold < 1:
            raise ConfigurationError(f"proposal_head.threshold is {self.threshold!r}; it must be in [0, 1)")

    @property
    def proposals(self) -> ProposalOptions:
        """How proposals are made."""
        return ProposalOptions(long_side=self.long_side, limit=self.limit)

    @property
    def dinov2(self) -> dict[str, int]:
        """Arguments of Dinov2."""
        return {
            "width": self.dino_width, "depth": self.dino_depth, "heads": self.dino_heads, "hidden": self.dino_hidden,
            "patch_size": self.dino_patch_size, "positions": self.dino_positions,
        }  # fmt: skip

    @classmethod
    def from_dict(cls, values: object) -> "ProposalHeadConfig":
        """Reads what `to_dict` wrote; unknown keys raise ConfigurationError."""
        if not isinstance(values, Mapping):
            raise ConfigurationError(f"proposal_head is {values!r}; it must be a table of names and values")
        if unknown := sorted(map(str, set(values) - {field.name for field in fields(cls)})):
            raise ConfigurationError(f"unknown keys in proposal_head: {', '.join(unknown)}")
        return cls(**values)

    def to_dict(self) -> dict[str, object]:
        """JSON-ready values."""
        return asdict(self)


def infer_proposal_head(
    weights: Mapping[str, Tensor], overrides: Mapping[str, object] | None = None
) -> ProposalHeadConfig:
    """Sizes from the shapes of a checkpoint's weights.

    Shapes tell neither numbers of heads nor sizes of images: they are the published ones unless `overrides` says
    otherwise.

    Raises:
        CheckpointError: A weight is missing.
        ConfigurationError: A value is out of range.
    """
    overrides = dict(overrides or {})
    dino = {key.removeprefix(DINO): value for key, value in weights.items() if key.startswith(DINO)}
    sizes = {f"dino_{name}": size for name, size in dinov2_sizes(dino, overrides.get("dino_heads")).items()}
    try:
        blocks = [key for key in weights if re.fullmatch(r"model\.lisa_attention_layers\.\d+\.norm1\.weight", key)]
        inferred = {
            "dim": weights["model.lisa_dino_conv.weight"].shape[0],
            "depth": len(blocks),
            "mlp_dim": weights["model.lisa_attention_layers.0.mlp.lin1.weight"].shape[0],
            "iop_dim": weights["model.lisa_iou_head.0.weight"].shape[0],
            "embedding_dim": weights["model.lisa_embedding_head.0.weight"].shape[0],
        }
    except KeyError as error:
        raise CheckpointError(
            f"the checkpoint's parts for proposals are not complete: {error} is missing; download or copy it again"
        ) from error
    return ProposalHeadConfig.from_dict(inferred | sizes | overrides)
