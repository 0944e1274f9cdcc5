"""Segment Anything's image encoder with the weights and results of Meta's, and without what it wastes.

* Tokens of windowed blocks stand window by window and are put in order once for a run of blocks, not padded, cut and
  put together again in each. What Meta's windows are padded with has the keys and values of the projection's bias:
  only attention sees it.
* The decomposed relative positions are a bias of the scores, which products of queries and keys are added to. On a
  CPU this happens in pieces that stay in its cache; on a GPU the fused kernels of torch take the bias.
"""

from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

import torch
import torch.nn.functional as F
from segment_anything.modeling import ImageEncoderViT
from segment_anything.modeling.image_encoder import Attention
from torch import Tensor

_SCORES_AT_ONCE = 1 << 20  # attention scores of a piece on the CPU: 4 MB of float32


class WindowGroup(NamedTuple):
    """Windows of equal size that follow one another in the order of tokens.

    Attributes:
        count: Number of windows.
        height: Rows of tokens in each.
        width: Columns of tokens in each.
        side: (rows, columns) of a whole window; larger where the image ends inside of it.
    """

    count: int
    height: int
    width: int
    side: tuple[int, int]


class ImageEncoder(ImageEncoderViT):
    """Segment Anything's encoder; its state dict is that of `ImageEncoderViT`."""

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, 3, S, S) to their embedding (B, C, g, g)."""
        return self.encode_patches(self.patch_embed(x))

    def encode_patches(self, x: Tensor) -> Tensor:
        """Patch embeddings (B, g, g, embed_dim) to the image embedding (B, C, g, g)."""
        shape = x.shape
        x = (x + self.pos_embed).flatten(1, 2)
        for size, blocks in groupby(self.blocks, key=lambda block: block.window_size):
            order, groups = window_order(shape[1], shape[2], size, x.device)
            x = x[:, order]
            for block in blocks:
                x = x + attention(block.attn, block.norm1(x), groups)
                x = x + block.mlp(block.norm2(x))
            x = x[:, order.argsort()]
        return self.neck(x.view(shape).permute(0, 3, 1, 2))


def window_order(height: int, width: int, size: int, device: torch.device) -> tuple[Tensor, list[WindowGroup]]:
    """How tokens of a grid stand in windows.

    Args:
        height: Rows of the grid.
        width: Its columns.
        size: Side of a window; 0 for a single one that holds all.
        device: Of the result.

    Returns:
        (height * width,) int64, for each place the token in row-major order that stands there, and the windows.
    """
    grid = torch.arange(height * width, device=device).view(height, width)
    if size == 0:
        return grid.flatten(), [WindowGroup(1, height, width, (height, width))]
    order, groups = [], []
    for rows in _equal_parts(height, size):
        for columns in _equal_parts(width, size):
            part = grid[rows.start : rows.stop, columns.start : columns.stop]
            part = part.view(len(rows), rows.step, len(columns), columns.step).transpose(1, 2)
            order.append(part.flatten())
            groups.append(WindowGroup(len(rows) * len(columns), rows.step, columns.step, (size, size)))
    return torch.cat(order), groups


def _equal_parts(length: int, size: int) -> Iterator[range]:
    """A length in parts of `size`, and what is left over as a part of its own."""
    whole = length - length % size
    if whole:
        yield range(0, whole, size)
    if whole < length:
        yield range(whole, length, length - whole)


def attention(layer: Attention, x: Tensor, groups: list[WindowGroup]) -> Tensor:
    """What Meta's layer makes of normed tokens (B, N, C) in the order of their windows, of the same shape."""
    batch, _, channels = x.shape
    heads = layer.num_heads
    sizes = [group.count * group.height * group.width for group in groups]
    results = []
    for group, qkv in zip(groups, layer.qkv(x).split(sizes, dim=1), strict=True):
        windows = batch * group.count
        qkv = qkv.reshape(windows, group.height, group.width, 3, heads, -1).permute(3, 0, 4, 1, 2, 5)
        query, (key, value) = qkv[0].flatten(0, 1), qkv[1:]
        if (group.height, group.width) != group.side:
            key, value = _with_padding(layer, qkv[1:], group)
        key, value = (part.reshape(windows * heads, -1, channels // heads) for part in (key, value))
        attend = _attend_in_pieces if x.device.type == "cpu" else _attend_fused
        result = attend(query, key, value, *_relative_scores(layer, query, group))
        result = result.view(windows, heads, -1, channels // heads).transpose(1, 2)
        results.append(result.reshape(batch, -1, channels))
    return layer.proj(torch.cat(results, dim=1))


def _with_padding(layer: Attention, pair: Tensor, group: WindowGroup) -> Tensor:
    """Keys and values (2, n, heads, height, width, d) in whole windows (2, n, heads, *side, d)."""
    bias = layer.qkv.bias.to(pair.dtype).view(3, 1, layer.num_heads, 1, 1, -1)[1:]
    whole = bias.expand(2, pair.shape[1], -1, *group.side, -1).clone()
    whole[:, :, :, : group.height, : group.width] = pair
    return whole


def _relative_scores(layer: Attention, query: Tensor, group: WindowGroup) -> tuple[Tensor, Tensor]:
    """Scores of queries (n, h, w, d) by the row (n, h, w, side) and by the column (n, h, w, side) of the key."""
    by_row = _relative_positions(layer.rel_pos_h, group.height, group.side[0]).to(query.dtype)
    by_column = _relative_positions(layer.rel_pos_w, group.width, group.side[1]).to(query.dtype)
    rows = torch.einsum("nhwd,hkd->nhwk", query, by_row)
    return rows.contiguous(), torch.einsum("nhwd,wkd->nhwk", query, by_column).contiguous()


def _relative_positions(table: Tensor, queries: int, keys: int) -> Tensor:
    """(queries, keys, d) rows of the table (2 * keys - 1, d) of distances."""
    places = torch.arange(keys, device=table.device)
    return table[places[:queries, None] - places + keys - 1]


def _attend_fused(query: Tensor, key: Tensor, value: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Attention (n, h * w, d) of queries (n, h, w, d) to keys and values (n, m, d), see `_relative_scores`."""
    bias = (rows.unsqueeze(-1) + columns.unsqueeze(-2)).flatten(3).flatten(1, 2)
    parts = (part.unsqueeze(0) for part in (query.flatten(1, 2), key, value))
    return F.scaled_dot_product_attention(*parts, attn_mask=bias.unsqueeze(0)).squeeze(0)


def _attend_in_pieces(query: Tensor, key: Tensor, value: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """As `_attend_fused`, with as many scores at once as a CPU's cache holds."""
    count, height, width, channels = query.shape
    step = max(1, _SCORES_AT_ONCE // (width * key.shape[1]))  # rows of queries
    at_once, step = max(1, step // height), min(step, height)
    key = key.transpose(1, 2)
    results = []
    for first in range(0, count, at_once):
        part = slice(first, first + at_once)
        for top in range(0, height, step):
            lines = slice(top, top + step)
            bias = rows[part, lines].unsqueeze(-1) + columns[part, lines].unsqueeze(-2)
            asked = query[part, lines].flatten(1, 2)
            scores = torch.baddbmm(bias.view(*asked.shape[:2], -1), asked, key[part], alpha=channels**-0.5)
            results.append(scores.softmax(dim=-1) @ value[part])
    pieces = -(-height // step)
    whole = [torch.cat(results[first : first + pieces], dim=1) for first in range(0, len(results), pieces)]
    return torch.cat(whole)
