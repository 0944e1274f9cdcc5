"""Heads that turn the hidden states of grounding events into masks."""

from torch import Tensor, nn

from lisa_ros.model.sam import SamFeatures, SegmentAnything


class SamPromptHead:
    """LISA's head: a hidden state becomes one prompt token of SAM's mask decoder."""

    def __init__(self, projection: nn.Module, sam: SegmentAnything) -> None:
        self.projection = projection
        self.sam = sam

    def embed(self, hidden: Tensor) -> Tensor:
        """Hidden states (n, hidden_size) that predict [SEG] -> mask prompts (n, 1, C)."""
        weight = next(self.projection.parameters())
        return self.projection(hidden.to(weight.dtype)).unsqueeze(1)

    def decode(self, features: SamFeatures, embeddings: Tensor, prior: Tensor | None = None) -> Tensor:
        """Low-resolution mask logits (n, 1, 4g, 4g) float32 of mask prompts (n, 1, C).

        features: of one image for all prompts, or of n images. prior: see SegmentAnything.decode.
        """
        dtype = self.sam.mask_decoder.iou_token.weight.dtype
        features = SamFeatures(features.embedding.to(dtype), tuple(x.to(dtype) for x in features.high_res))
        return self.sam.decode(features, embeddings.to(dtype), prior).float()
