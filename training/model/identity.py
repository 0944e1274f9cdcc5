"""What a checkpoint belongs to: its base, and the configuration without which its weights mean another model."""

import hashlib
import json
import os
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from lisa_ros.errors import ConfigurationError
from lisa_ros.model.checkpoint import Checkpoint
from training.config.train_config import TrainConfig
from training.errors import TrainingError

BASE = "base"
NAMES = (BASE, "model.conv_type", "lora.r", "lora.alpha", "lora.targets", "trainable", "devices.quantization")
_ROUNDED = "bfloat16"
_AHEAD = 16  # weights that wait to be hashed
# Where the base lies and how its prompts look is no part of its content.
_NOT_CONTENT = ("vision_tower", "mm_vision_tower", "conv_type")


def identity_of(checkpoint: Checkpoint, config: TrainConfig) -> dict[str, object]:
    """Name -> value of each of NAMES, for the network before it is quantised and gets its adapters; JSON-like.

    The base is a digest of its weights, vision tower and new parts included, of its configuration and of its tokens,
    for each number format in which it can be compared: a base that is loaded in bfloat16 has no other.
    """
    formats = (_ROUNDED,) if config.devices.precision == "bf16" else (_ROUNDED, "float32")
    return {
        BASE: {name: _digest(checkpoint, getattr(torch, name)) for name in formats},
        "model.conv_type": checkpoint.network.config.conv_type,
        "lora.r": config.lora.r,
        "lora.alpha": config.lora.alpha,
        "lora.targets": sorted(config.lora.targets),
        "trainable": sorted(config.trainable),
        "devices.quantization": config.devices.quantization,
    }


def check_accepted(names: Iterable[str]) -> None:
    """Raises ConfigurationError for a difference that cannot be accepted by its name."""
    if unknown := sorted(set(names) - set(NAMES)):
        raise ConfigurationError(f"--accept {', '.join(unknown)}: no such name; there are {', '.join(NAMES)}")


def check_identity(
    saved: Mapping[str, object], own: Mapping[str, object], source: object, accepted: Sequence[str]
) -> None:
    """Raises TrainingError where a checkpoint belongs to another base or another configuration than the run's.

    saved: of the checkpoint `source`; {} in files of earlier versions, which is an error too, unless the base is
    accepted: what they belong to is unknown. accepted: names of differences that are wanted.
    """
    check_accepted(accepted)
    if not saved and BASE not in accepted:
        raise TrainingError(
            f"{source} does not name its base: it was saved by an earlier version. If model and lora "
            "are as they were in its run, add --accept base"
        )
    differing = [
        f"{name} ({_difference(name, saved[name], own[name])})"
        for name in NAMES
        if name in saved and name not in accepted and not _same(name, saved[name], own[name])
    ]
    if differing:
        flags = " ".join(f"--accept {text.split(' ')[0]}" for text in differing)
        raise TrainingError(
            f"{source} was trained otherwise than the configuration says: {', '.join(differing)}. Take the "
            f"configuration of its run (its settings.yaml); if the difference is wanted, add {flags}"
        )


def _same(name: str, saved: object, own: object) -> bool:
    if name != BASE:
        return saved == own
    common = saved.keys() & own.keys()
    exact = common - {_ROUNDED} or common
    return bool(exact) and all(saved[key] == own[key] for key in exact)


def _difference(name: str, saved: object, own: object) -> str:
    if name == BASE:
        return "model.source, model.sam_checkpoint, model.vision_tower or seed give other weights"
    return f"{saved} in the checkpoint, {own} here"


def _digest(checkpoint: Checkpoint, dtype: torch.dtype) -> str:
    network = checkpoint.network
    content = {key: value for key, value in network.config.to_dict().items() if key not in _NOT_CONTENT}
    tower = network.vision_tower
    parts = [content, sorted(checkpoint.tokenizer.added.items()), str(tower and tower.preprocess)]
    digest = hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=16)
    digest.update(hashlib.blake2b(checkpoint.tokenizer.model_bytes).digest())
    state = network.state_dict()
    pending: deque[tuple[str, Future]] = deque()
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:  # hashing lets go of the interpreter
        for name in sorted(state):
            # Torch works in this thread alone: in others its pool of threads does not live in a forked process.
            pending.append((name, pool.submit(_hash, *_bytes_of(state[name], dtype))))
            if len(pending) > _AHEAD:
                _take(digest, *pending.popleft())
        while pending:
            _take(digest, *pending.popleft())
    return digest.hexdigest()


def _take(digest, name: str, found: Future):
    digest.update(name.encode() + found.result())


def _bytes_of(value: Tensor, dtype: torch.dtype) -> tuple[np.ndarray, bytes]:
    """Bytes (N,) uint8 of a weight in a floating-point format, and a description of its shape."""
    value = value.detach().to(dtype) if value.is_floating_point() else value.detach()
    return value.contiguous().view(-1).view(torch.uint8).numpy(), repr(tuple(value.shape)).encode()[:64]


def _hash(data: np.ndarray, shape: bytes) -> bytes:
    return hashlib.blake2b(data, key=shape).digest()
