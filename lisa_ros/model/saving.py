"""Checkpoint directories written in the published layout, each file replaced atomically."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from lisa_ros.errors import CheckpointError
from lisa_ros.model.checkpoint import Checkpoint
from lisa_ros.model.config import LisaConfig
from lisa_ros.model.network import LisaNetwork
from lisa_ros.model.weights import weight_files

SAVED_WEIGHTS = "model.safetensors"
TOKENIZER_FILES = ("tokenizer.model", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")


def save_pretrained(
    network: LisaNetwork, tokenizer_directory: str | Path, out: str | Path, dtype: torch.dtype | None = None
) -> None:
    """Writes what `load` reads: model.safetensors, config.json and the tokenizer's files, each replaced atomically.

    dtype: storage type of matrices; vectors (biases, norms, statistics) and buffers keep theirs.
    """
    parameters = dict(network.named_parameters())
    weights = {}
    for key, value in network.state_dict().items():
        if key.startswith("vision_tower.") or (key == "lm_head.weight" and network.config.tie_word_embeddings):
            continue
        matrix = key in parameters and value.ndim > 1
        weights[key] = value.detach().to("cpu", dtype if matrix else None).contiguous()
    if network.config.unfreeze_mm_vision_tower:
        tower = network.vision_tower.published_weights()
        weights |= {key: value.detach().cpu().contiguous() for key, value in tower.items()}
    write_checkpoint(network.config, weights, tokenizer_directory, out)


def save_checkpoint(checkpoint: Checkpoint, out: str | Path, dtype: torch.dtype | None = None) -> None:
    """Writes a loaded checkpoint, whatever layout it came from, as `load` reads it; see `save_pretrained`."""
    save_pretrained(checkpoint.network, checkpoint.directory, out, dtype)
    text = json.dumps(checkpoint.tokenizer.added, indent=2) + "\n"
    write_atomically(Path(out) / "added_tokens.json", lambda path: path.write_text(text, encoding="utf-8"))


def write_checkpoint(
    config: LisaConfig, weights: Mapping[str, Tensor], tokenizer_directory: str | Path, out: str | Path
) -> None:
    """Writes a checkpoint directory from weights with the published keys, each file replaced atomically.

    Raises CheckpointError if the directory cannot be written, or holds weights in another layout, which would stay.
    """
    others = [name for name in weight_files(Path(out)) if name != SAVED_WEIGHTS]
    if others:
        raise CheckpointError(f"cannot write the checkpoint {out}: it holds other weights, {others[0]}")
    try:
        _write_checkpoint(config, weights, tokenizer_directory, Path(out))
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"cannot write the checkpoint {out}: {error}") from error


def _write_checkpoint(
    config: LisaConfig, weights: Mapping[str, Tensor], tokenizer_directory: str | Path, out: Path
) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for name in TOKENIZER_FILES:
        source = Path(tokenizer_directory) / name
        if source.is_file():
            write_atomically(out / name, lambda path, source=source: shutil.copyfile(source, path))
    text = json.dumps(config.to_dict(), indent=2) + "\n"
    write_atomically(out / "config.json", lambda path: path.write_text(text, encoding="utf-8"))
    write_atomically(out / SAVED_WEIGHTS, lambda path: save_file(weights, path, metadata={"format": "pt"}))


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Calls `write` with a new path in the same directory and moves the result into place."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    try:
        write(Path(name))
        with open(name, "rb+") as file:
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
