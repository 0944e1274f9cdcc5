"""The network that a style begins with: a checkpoint of another style, with the tokens that it lacks."""

from pathlib import Path

import torch
from torch import Tensor

from lisa_ros.model.checkpoint import Checkpoint, assemble, find
from lisa_ros.model.config import read_config
from lisa_ros.model.styles import get_style
from lisa_ros.model.weights import read_weights
from training.model.base import extend_tokenizer

NOISE = 0.1  # of a new row, in units of the embeddings' standard deviation


def restyled(source: str, style: str, tokenizer_dir: Path, seed: int = 0) -> Checkpoint:
    """A checkpoint's network for another style, which words its own questions and decides by its own tokens.

    A new token begins as [SEG], with noise: where a mask could come, it could come too.

    Args:
        source: Of the checkpoint.
        style: Name of the new style.
        tokenizer_dir: Where the tokenizer with the style's tokens is written.
        seed: Of the noise.

    Raises:
        CheckpointError: The checkpoint cannot be read.
    """
    directory = find(source)
    values = read_config(directory / "config.json")
    tokenizer = extend_tokenizer(directory, tokenizer_dir, tuple(get_style(style).tokens))
    weights = dict(read_weights(directory))
    generator = torch.Generator().manual_seed(seed)
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        if name in weights:
            weights[name] = _extended(weights[name], len(tokenizer), tokenizer.seg_id, generator)
    for key in ("mask_query", "seg_threshold", "system_prompt"):  # were chosen for the style before
        values.pop(key, None)
    values |= {"style": style, "vocab_size": len(tokenizer)}
    return assemble(values, weights, tokenizer, tokenizer_dir, source=directory)


def _extended(rows: Tensor, count: int, seg_id: int, generator: torch.Generator) -> Tensor:
    rows = rows.float()
    noise = torch.randn(count - len(rows), rows.shape[1], generator=generator) * rows.std() * NOISE
    return torch.cat([rows, rows[seg_id] + noise])
