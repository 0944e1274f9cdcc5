"""Mask2Former (arXiv 2112.01527) in Segment Anything's place: a [SEG] state becomes a query of its decoder."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from huggingface_hub.errors import HFValidationError, StrictDataclassError
from torch import Tensor, nn
from transformers import Mask2FormerConfig, Mask2FormerModel, PreTrainedModel

from lisa_ros.errors import CheckpointError, ConfigurationError
from lisa_ros.model.checks import check_whole
from lisa_ros.model.files import expand_home, read_json
from lisa_ros.model.hub import HubError, download
from lisa_ros.model.sam import SamFeatures
from lisa_ros.model.vision import quiet

_STRIDE = 32  # of the backbone's last map


@dataclass(frozen=True)
class Mask2FormerSizes:
    """What defines the part.

    Attributes:
        model: Values of transformers' Mask2FormerConfig.
        image_size: Side of the square that images are put into, as for Segment Anything, px.

    Raises:
        ConfigurationError: A value is out of range.
    """

    model: Mapping[str, object]
    image_size: int = 1024

    def __post_init__(self) -> None:
        check_whole("mask2former.image_size", self.image_size)
        if self.image_size % _STRIDE:
            raise ConfigurationError(f"mask2former.image_size {self.image_size} is not a multiple of {_STRIDE}")
        heads = self.transformers.num_attention_heads
        if self.transformers.mask_feature_size != self.prompt_embed_dim or self.prompt_embed_dim % heads:
            raise ConfigurationError(
                f"mask2former.model: mask_feature_size {self.transformers.mask_feature_size} must be hidden_dim "
                f"{self.prompt_embed_dim}, a multiple of num_attention_heads {heads}"
            )

    @cached_property
    def transformers(self) -> Mask2FormerConfig:
        """For transformers. Raises ConfigurationError."""
        if not isinstance(self.model, Mapping) or self.model.get("model_type") != "mask2former":
            raise ConfigurationError(f"mask2former.model is {str(self.model)[:60]}; it must be a Mask2Former's values")
        try:
            with quiet():
                return Mask2FormerConfig.from_dict(dict(self.model))
        except (StrictDataclassError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise ConfigurationError(f"mask2former.model cannot be used: {error}") from error

    @property
    def prompt_embed_dim(self) -> int:
        """Width of a query."""
        return self.transformers.hidden_dim

    @property
    def grid_size(self) -> int:
        """A fourth of a mask's side."""
        return self.image_size // 16

    @classmethod
    def from_dict(cls, values: object) -> "Mask2FormerSizes":
        """Reads what `to_dict` wrote; raises ConfigurationError."""
        if not isinstance(values, Mapping) or not {"model", "image_size"} >= values.keys() >= {"model"}:
            raise ConfigurationError(f"mask2former is {str(values)[:80]}; it must be a table of model and image_size")
        return cls(**values)

    def to_dict(self) -> dict[str, object]:
        """JSON-ready values."""
        return {"model": dict(self.model), "image_size": self.image_size}


class Mask2FormerSegmenter(nn.Module):
    """What SegmentAnything is to a LISA: `encode` once an image, `decode` once a query.

    Parameter names are those of transformers' Mask2Former. Backbone and pixel decoder are the image encoder; the
    transformer decoder takes a query in the place of those that it has learnt.
    """

    def __init__(self, config: Mask2FormerSizes) -> None:
        super().__init__()
        self.config = config
        with torch.device("cpu"), quiet():  # its index buffers are in no checkpoint, and must be real
            whole = Mask2FormerModel(config.transformers)
        self.model = nn.Module()  # its parts alone: the language model around it takes its inner models for its own
        self.model.pixel_level_module, self.model.transformer_module = (
            whole.pixel_level_module,
            whole.transformer_module,
        )
        for part in self.modules():
            if isinstance(part, PreTrainedModel):
                part.get_input_embeddings = _none

    @property
    def image_encoder(self) -> nn.Module:
        """Backbone and pixel decoder."""
        return self.model.pixel_level_module

    @property
    def encoder_dtype(self) -> torch.dtype:
        """Floating-point type of the image encoder."""
        return next(self.image_encoder.parameters()).dtype

    @property
    def decoder_dtype(self) -> torch.dtype:
        """Floating-point type of the decoder."""
        return self.model.transformer_module.level_embed.weight.dtype

    def encode(self, images: Tensor) -> SamFeatures:
        """Features of preprocessed images (B, 3, S, S): of pixels (B, C, S/4, S/4), and maps at strides 32, 16, 8."""
        found = self.image_encoder(images, output_hidden_states=False)
        return SamFeatures(found.decoder_last_hidden_state, tuple(found.decoder_hidden_states))

    def decode(self, features: SamFeatures, embeddings: Tensor, prior: Tensor | None = None) -> Tensor:
        """Mask logits (n, 1, S/4, S/4) of queries (n, 1, C), each by itself.

        Args:
            features: Of n images, one a query, or of a single image that serves every query.
            embeddings: The queries. Their position encoding is the mean of those that the model has learnt.
            prior: Must be None.

        Raises:
            ConfigurationError: There is a prior, which Mask2Former has no place for.
        """
        if prior is not None:
            raise ConfigurationError("Mask2Former takes no coarse mask; styles that look twice need Segment Anything")
        module, count = self.model.transformer_module, len(embeddings)
        maps = [one.expand(count, -1, -1, -1) for one in features.high_res]
        positions = [
            module.position_embedder(one.shape, one.device, one.dtype, None).flatten(2).permute(2, 0, 1) for one in maps
        ]
        stages = [
            (project(one).flatten(2) + level[None, :, None]).permute(2, 0, 1)
            for project, level, one in zip(module.input_projections, module.level_embed.weight, maps, strict=True)
        ]
        place = module.queries_embedder.weight.mean(dim=0).expand(1, count, -1)
        found = module.decoder(
            inputs_embeds=embeddings.transpose(0, 1),
            multi_stage_positional_embeddings=positions,
            pixel_embeddings=features.embedding.expand(count, -1, -1, -1),
            encoder_hidden_states=stages,
            query_position_embeddings=place,
            feature_size_list=[one.shape[-2:] for one in maps],
            return_dict=True,
        )
        return found.masks_queries_logits[-1]


def _none() -> None:
    """Input embeddings for transformers' checkpointing of the language model to make learn: an image has none."""


def read_mask2former(source: str | Path, image_size: int) -> tuple[Mask2FormerSizes, dict[str, Tensor]]:
    """A published Mask2Former in transformers' layout.

    Args:
        source: Its directory or hub name ("facebook/mask2former-swin-large-coco-panoptic").
        image_size: See Mask2FormerSizes.

    Returns:
        Sizes, and weights with the keys of Mask2FormerSegmenter.

    Raises:
        CheckpointError: It is missing, damaged or of another kind.
        ConfigurationError: The image size does not fit.
    """
    directory = Path(expand_home(source))
    try:
        directory = directory if directory.is_dir() else Path(download(str(source)))
    except (OSError, HubError) as error:
        raise CheckpointError(
            f"Mask2Former {str(source)!r} is no directory, and the hub did not give it: {error}; give one in "
            "transformers' layout, as facebook/mask2former-swin-large-coco-panoptic"
        ) from error
    values = read_json(directory / "config.json")
    if values.get("model_type") != "mask2former":
        raise CheckpointError(f"{directory} is a {values.get('model_type')!r}, not a mask2former of transformers")
    sizes = Mask2FormerSizes(values, image_size)
    try:
        with quiet():
            model, report = Mask2FormerModel.from_pretrained(
                str(directory), config=sizes.transformers, dtype=torch.float32, output_loading_info=True,
                trust_remote_code=False,
            )  # fmt: skip
    except (OSError, ValueError, RuntimeError, HFValidationError) as error:
        raise CheckpointError(f"{directory} holds no Mask2Former that can be loaded: {error}") from error
    if report["missing_keys"]:
        missing = sorted(report["missing_keys"])
        raise CheckpointError(f"{directory} lacks {len(missing)} weights, {missing[0]} among them")
    return sizes, {f"model.{key}": value for key, value in model.state_dict().items()}
