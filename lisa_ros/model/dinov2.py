"""DINOv2's vision transformer (arXiv 2304.07193) with the keys of its published files, for images of any one size."""

import re
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lisa_ros.errors import CheckpointError

# What the published code adds to the size of the grid before it scales position encodings; files were trained with it.
_POSITION_OFFSET = 0.1
_HEAD_WIDTH = 64  # of all published networks


class Dinov2(nn.Module):
    """Pixels (B, 3, S, S) -> patch tokens (B, N, C) after the final norm, in row-major order.

    Attributes:
        patch_size: Side of a patch in pixels.
        width: C.
    """

    def __init__(self, width: int, depth: int, heads: int, hidden: int, patch_size: int, positions: int) -> None:
        """hidden: width inside the MLPs. positions: stored position encodings, that of the class token among them."""
        super().__init__()
        self.width, self.patch_size = width, patch_size
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, positions, width))
        self.mask_token = nn.Parameter(torch.zeros(1, width))  # of its own training; it is in every file
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Conv2d(3, width, patch_size, stride=patch_size)
        self.blocks = nn.ModuleList(_EncoderBlock(width, heads, hidden) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, pixels: Tensor) -> Tensor:
        """Patch tokens of square images whose side is a multiple of the patch size."""
        patches = self.patch_embed.proj(pixels.to(self.pos_embed.dtype))
        grid = patches.shape[-1]
        tokens = torch.cat([self.cls_token.expand(len(pixels), -1, -1), patches.flatten(2).transpose(1, 2)], dim=1)
        tokens = tokens + self._positions(grid)
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)[:, 1:]

    def _positions(self, grid: int) -> Tensor:
        """Position encodings (1, 1 + grid^2, C), the stored ones scaled to the grid."""
        stored = round((self.pos_embed.shape[1] - 1) ** 0.5)
        if stored == grid:
            return self.pos_embed
        square = self.pos_embed[:, 1:].float().reshape(1, stored, stored, -1).permute(0, 3, 1, 2)
        scale = (grid + _POSITION_OFFSET) / stored
        scaled = F.interpolate(square, scale_factor=(scale, scale), mode="bicubic")
        scaled = scaled.flatten(2).transpose(1, 2).to(self.pos_embed.dtype)
        return torch.cat([self.pos_embed[:, :1], scaled], dim=1)


def dinov2_sizes(weights: Mapping[str, Tensor], heads: int | None = None) -> dict[str, int]:
    """Arguments of Dinov2 from the shapes of its weights.

    heads: where it is not one for every 64 channels, as in all published networks.
    Raises CheckpointError naming what is missing.
    """
    try:
        width, _, patch_size, _ = weights["patch_embed.proj.weight"].shape
        depth = len([key for key in weights if re.fullmatch(r"blocks\.\d+\.ls1\.gamma", key)])
        hidden, positions = weights["blocks.0.mlp.fc1.weight"].shape[0], weights["pos_embed"].shape[1]
    except (KeyError, ValueError) as error:
        raise CheckpointError(
            f"the weights are not those of a DINOv2: {error} is missing or has another shape; "
            "give one of ViT-S, ViT-B or ViT-L without registers"
        ) from error
    heads = heads or max(1, width // _HEAD_WIDTH)
    return {
        "width": width, "depth": depth, "heads": heads, "hidden": hidden,
        "patch_size": patch_size, "positions": positions,
    }  # fmt: skip


class _EncoderBlock(nn.Module):
    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = _SelfAttention(width, heads)
        self.ls1 = _LayerScale(width)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.Module()
        self.mlp.fc1, self.mlp.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.ls2 = _LayerScale(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.ls1(self.attn(self.norm1(x)))
        return x + self.ls2(self.mlp.fc2(F.gelu(self.mlp.fc1(self.norm2(x)))))


class _SelfAttention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        queries, keys, values = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.proj(F.scaled_dot_product_attention(queries, keys, values).transpose(1, 2).flatten(2))


class _LayerScale(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma
