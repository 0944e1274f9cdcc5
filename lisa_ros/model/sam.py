"""Segment Anything as LISA uses it: image -> features, [SEG] embedding -> mask logits.

Built from the modules of Meta's `segment_anything`, with its state-dict keys unchanged. Two options make small models
practical; both are off for published checkpoints:

* `stem_channels`: the patch embedding becomes a stack of strided convolutions (Xiao et al., "Early Convolutions Help
  Transformers See Better", arXiv 2106.14881).
* `high_res_features`: features of the stem at strides 4 and 8 are added while the mask is upscaled, as in SAM 2.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from segment_anything.modeling import MaskDecoder, PromptEncoder, TwoWayTransformer
from torch import Tensor, nn

from lisa_ros.model.files import expand_home
from lisa_ros.model.sam_config import SamConfig, infer_sam_config
from lisa_ros.model.sam_encoder import ImageEncoder
from lisa_ros.model.weights import check_finite, check_weights, read_weight_file


class SamFeatures(NamedTuple):
    """What the mask decoder needs of images.

    embedding: (B, C, g, g). high_res: maps (B, C/8, 4g, 4g) and (B, C/4, 2g, 2g), or empty.
    """

    embedding: Tensor
    high_res: tuple[Tensor, ...] = ()

    def select(self, index: Tensor | slice) -> "SamFeatures":
        """Features of the chosen images, repeated where the index repeats."""
        return SamFeatures(self.embedding[index], tuple(feature[index] for feature in self.high_res))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch norm and a skip connection; (B, C, H, W) to the same shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, H, W); the same shape."""
        y = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(x + self.norm2(self.conv2(y)))


class ConvStem(nn.Module):
    """Convolutional patch embedding, (B, 3, S, S) to (B, S/16, S/16, embed_dim); strides 4 and 8 are kept."""

    def __init__(self, channels: tuple[int, ...], depths: tuple[int, ...], embed_dim: int) -> None:
        super().__init__()
        stages, width = [], channels[0] // 2
        self.entry = self._downsample(3, width)
        for out_width, depth in zip(channels, depths, strict=True):
            blocks = [ResidualBlock(out_width) for _ in range(depth)]
            stages.append(nn.Sequential(self._downsample(width, out_width), *blocks))
            width = out_width
        self.stages = nn.ModuleList(stages)
        self.proj = nn.Conv2d(width, embed_dim, 1)

    @staticmethod
    def _downsample(in_channels: int, out_channels: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Returns the patch embeddings and the stem's maps at strides 4 and 8."""
        stride4 = self.stages[0](self.entry(x))
        stride8 = self.stages[1](stride4)
        return self.proj(self.stages[2](stride8)).permute(0, 2, 3, 1), (stride4, stride8)


class StemmedImageEncoder(ImageEncoder):
    """`ImageEncoder` whose patch embedding is a ConvStem."""

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Returns the image embedding and the stem's maps at strides 4 and 8."""
        x, maps = self.patch_embed(x)
        return self.encode_patches(x), maps


class SegmentAnything(nn.Module):
    """SAM's encoders and mask decoder behind two calls: `encode` once an image, `decode` once a query."""

    def __init__(self, config: SamConfig) -> None:
        super().__init__()
        self.config = config
        encoder_class = ImageEncoder if config.stem_channels is None else StemmedImageEncoder
        self.image_encoder = encoder_class(
            img_size=config.image_size,
            patch_size=config.patch_size,
            embed_dim=config.embed_dim,
            depth=config.depth,
            num_heads=config.num_heads,
            mlp_ratio=4,
            out_chans=config.prompt_embed_dim,
            qkv_bias=True,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            use_rel_pos=True,
            window_size=config.window_size,
            global_attn_indexes=config.global_attn_indexes,
        )
        if config.stem_channels is not None:
            self.image_encoder.patch_embed = ConvStem(config.stem_channels, config.stem_depths, config.embed_dim)
        self.prompt_encoder = PromptEncoder(
            embed_dim=config.prompt_embed_dim,
            image_embedding_size=(config.grid_size, config.grid_size),
            input_image_size=(config.image_size, config.image_size),
            mask_in_chans=16,
        )
        self.mask_decoder = MaskDecoder(
            transformer_dim=config.prompt_embed_dim,
            transformer=TwoWayTransformer(
                depth=config.decoder_depth,
                embedding_dim=config.prompt_embed_dim,
                mlp_dim=config.decoder_mlp_dim,
                num_heads=config.decoder_heads,
            ),
            iou_head_depth=config.iou_head_depth,
            iou_head_hidden_dim=config.iou_head_hidden_dim,
        )
        if config.high_res_features:
            dim = config.prompt_embed_dim
            self.mask_decoder.conv_s0 = nn.Conv2d(config.stem_channels[0], dim // 8, 1)
            self.mask_decoder.conv_s1 = nn.Conv2d(config.stem_channels[1], dim // 4, 1)

    @property
    def encoder_dtype(self) -> torch.dtype:
        """Floating-point type of the image encoder."""
        return self.image_encoder.pos_embed.dtype

    @property
    def decoder_dtype(self) -> torch.dtype:
        """Floating-point type of the mask decoder."""
        return self.mask_decoder.iou_token.weight.dtype

    def encode(self, images: Tensor) -> SamFeatures:
        """Features of preprocessed images (B, 3, S, S)."""
        if self.config.stem_channels is None:
            return SamFeatures(self.image_encoder(images))
        return self.features_of(*self.image_encoder(images))

    def features_of(self, embedding: Tensor, maps: tuple[Tensor, Tensor]) -> SamFeatures:
        """What the decoder needs of the two outputs of an encoder with a convolutional stem."""
        if not self.config.high_res_features:
            return SamFeatures(embedding)
        stride4, stride8 = maps
        return SamFeatures(embedding, (self.mask_decoder.conv_s0(stride4), self.mask_decoder.conv_s1(stride8)))

    def decode(self, features: SamFeatures, embeddings: Tensor, prior: Tensor | None = None) -> Tensor:
        """Low-resolution mask logits (n, 1, 4g, 4g) for n prompt embeddings (n, 1, C).

        features: of n images, one a prompt, or of a single image that serves every prompt.
        prior: optional mask logits (n, 1, 4g, 4g) given to SAM as its mask prompt.
        Only SAM's first mask token is decoded; LISA trains no other and no IoU head.
        """
        hidden, upscaled = self._decode(features, embeddings, prior)
        weights = self.mask_decoder.output_hypernetworks_mlps[0](hidden[:, 1])
        return torch.einsum("nc,nchw->nhw", weights, upscaled).unsqueeze(1)

    def decode_points(self, features: SamFeatures, points: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """What SAM makes of points, each prompt by itself, as its automatic mask generator asks for it.

        Args:
            features: Of a single image.
            points: (n, p, 2) x, y in pixels of the square input.
            labels: (n, p) 1 for what belongs to the thing, 0 for what does not.

        Returns:
            Low-resolution logits (n, 3, 4g, 4g) of three masks a prompt, and the IoU (n, 3) that SAM expects of each.
        """
        decoder, dtype = self.mask_decoder, self.mask_decoder.iou_token.weight.dtype
        prompts, _ = self.prompt_encoder(points=(points.float(), labels), boxes=None, masks=None)
        features = SamFeatures(features.embedding.to(dtype), tuple(x.to(dtype) for x in features.high_res))
        hidden, upscaled = self._decode(features, prompts.to(dtype), None)
        count = decoder.num_mask_tokens
        masks = [mlp(hidden[:, 1 + i]) for i, mlp in enumerate(decoder.output_hypernetworks_mlps) if i]
        logits = torch.einsum("nkc,nchw->nkhw", torch.stack(masks, dim=1), upscaled)
        return logits, decoder.iou_prediction_head(hidden[:, 0])[:, 1:count]

    def _decode(self, features: SamFeatures, prompts: Tensor, prior: Tensor | None) -> tuple[Tensor, Tensor]:
        """The decoder's tokens (n, 1 + masks + p, C) and upscaled image (n, C/8, 4g, 4g) for prompts (n, p, C)."""
        decoder, count = self.mask_decoder, prompts.shape[0]
        tokens = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight]).to(prompts.dtype)
        tokens = torch.cat([tokens.expand(count, -1, -1), prompts], dim=1)
        source = features.embedding.expand(count, -1, -1, -1) + self._dense_prompt(prior)
        position = self.dense_position().to(source.dtype).expand(count, -1, -1, -1)
        hidden, source = decoder.transformer(source, position, tokens)
        grid = self.config.grid_size
        return hidden, self._upscale(source.transpose(1, 2).reshape(count, -1, grid, grid), features.high_res)

    def dense_position(self) -> Tensor:
        """Position encoding (1, C, g, g) of the image's cells: sines, then cosines of random projections.

        Its phases have the number format of the encoder: in bfloat16 they are coarse, and so the published weights,
        which were trained in bfloat16, know them.
        """
        matrix = self.prompt_encoder.pe_layer.positional_encoding_gaussian_matrix
        grid, dtype = self.config.grid_size, self.image_encoder.pos_embed.dtype
        centres = 2 * ((torch.arange(grid, device=matrix.device) + 0.5) / grid) - 1
        y, x = torch.meshgrid(centres, centres, indexing="ij")
        phases = 2 * torch.pi * (torch.stack([x, y], dim=-1).to(dtype) @ matrix.to(dtype))
        return torch.cat([phases.sin(), phases.cos()], dim=-1).permute(2, 0, 1).unsqueeze(0)

    def _dense_prompt(self, prior: Tensor | None) -> Tensor:
        if prior is not None:
            return self.prompt_encoder.mask_downscaling(prior)
        return self.prompt_encoder.no_mask_embed.weight.reshape(1, -1, 1, 1)

    def _upscale(self, source: Tensor, high_res: tuple[Tensor, ...]) -> Tensor:
        if not high_res:
            return self.mask_decoder.output_upscaling(source)
        first, norm, act1, second, act2 = self.mask_decoder.output_upscaling
        stride4, stride8 = high_res
        return act2(second(act1(norm(first(source) + stride8))) + stride4)


def load_sam(path: str | Path, sizes: Mapping[str, object] | None = None) -> SegmentAnything:
    """Segment Anything from its published file, in eval mode on the CPU.

    sizes: what shapes do not tell, as `sam` of `Lisa.from_pretrained`. Raises CheckpointError.
    """
    path = Path(expand_home(path))
    weights = read_weight_file(path)
    sam = SegmentAnything(infer_sam_config(weights, sizes))
    expected = sam.state_dict()
    check_weights(weights, expected, [key for key in weights if key.startswith("pixel_")], path)
    check_finite(weights, path)
    sam.load_state_dict({key: weights[key] for key in expected})
    return sam.eval().requires_grad_(False)
