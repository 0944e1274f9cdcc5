"""Heads that turn the hidden states of grounding events into masks."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lisa_ros.model.grounding import TARGET_KINDS, parents_of
from lisa_ros.model.mask2former import Mask2FormerSegmenter
from lisa_ros.model.proposal_config import ProposalHeadConfig
from lisa_ros.model.sam import SamFeatures, SegmentAnything
from lisa_ros.types import SEG, EventKind


class TargetMasks(NamedTuple):
    """Low-resolution mask logits of the targets of one image, in the order of their tokens.

    Attributes:
        logits: (t, 1, 4g, 4g) float32; zeros, without a gradient, for a target that is rejected.
        coarse: (t, 1, 4g, 4g) float32 logits of each target's parent, zeros for a target without one; None where no
            target has a parent.
    """

    logits: Tensor
    coarse: Tensor | None


class SamPromptHead:
    """LISA's head: a hidden state becomes one prompt token of SAM's mask decoder, or a query of Mask2Former's."""

    def __init__(self, projection: nn.Module, sam: SegmentAnything | Mask2FormerSegmenter) -> None:
        self.projection = projection
        self.sam = sam

    @classmethod
    def of(cls, model: nn.Module, config: ProposalHeadConfig | None) -> "SamPromptHead":
        """The head on the parts that a network's `model` holds. config: of a head that chooses among proposals."""
        return cls(model.text_hidden_fcs[0], model.visual_model)

    def embed(self, hidden: Tensor) -> Tensor:
        """Hidden states (n, hidden_size) that predict grounding tokens -> mask prompts (n, 1, C)."""
        weight = next(self.projection.parameters())
        return self.projection(hidden.to(weight.dtype)).unsqueeze(1)

    def decode(self, features: SamFeatures, embeddings: Tensor, prior: Tensor | None = None) -> Tensor:
        """Low-resolution mask logits (n, 1, 4g, 4g) float32 of mask prompts (n, 1, C).

        features: of one image for all prompts, or of n images. prior: see SegmentAnything.decode.
        """
        dtype = self.sam.decoder_dtype
        features = SamFeatures(features.embedding.to(dtype), tuple(x.to(dtype) for x in features.high_res))
        return self.sam.decode(features, embeddings.to(dtype), None if prior is None else prior.to(dtype)).float()

    def decode_targets(self, features: SamFeatures, embeddings: Tensor, kinds: Sequence[EventKind]) -> TargetMasks:
        """Masks of the targets among an image's events.

        A SEG with a parent is decoded with the parent's raw logits as SAM's mask prompt, and gradients reach the
        parent through them.

        Args:
            features: Of the one image.
            embeddings: (n, 1, C) mask prompts of all its events.
            kinds: Of the n events.
        """
        parents = parents_of(kinds)
        size = 4 * self.sam.config.grid_size
        targets = [index for index, kind in enumerate(kinds) if kind in TARGET_KINDS]
        logits: list[Tensor] = [embeddings.new_zeros((1, size, size), dtype=torch.float32)] * len(targets)
        coarse = list(logits)
        plain = [i for i in targets if kinds[i] == SEG and parents[i] is None]
        fine = [i for i in targets if parents[i] is not None]
        if plain:
            for index, mask in zip(plain, self.decode(features, embeddings[plain]), strict=True):
                logits[targets.index(index)] = mask
        if fine:
            prior = self.decode(features, embeddings[[parents[index] for index in fine]])
            masks = self.decode(features, embeddings[fine], prior)
            for index, mask, parent in zip(fine, masks, prior, strict=True):
                logits[targets.index(index)], coarse[targets.index(index)] = mask, parent
        if not targets:
            return TargetMasks(embeddings.new_zeros((0, 1, size, size), dtype=torch.float32), None)
        return TargetMasks(torch.stack(logits), torch.stack(coarse) if fine else None)
