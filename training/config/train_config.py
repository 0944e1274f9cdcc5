"""The YAML of one training run, typed: unknown keys, missing keys and wrong types are errors that name the key."""

import math
import typing
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import yaml

from lisa_ros.errors import ConfigurationError
from lisa_ros.model.sam_config import SamConfig
from training.config.sections import (
    BatchConfig,
    CacheConfig,
    DataConfig,
    DeviceConfig,
    LoraConfig,
    ModelConfig,
    OptimizerConfig,
    ValidationConfig,
)
from training.config.yaml_files import parse, parse_value, read_yaml


@dataclass(frozen=True)
class TrainConfig:
    """The configuration of one run of the lora recipe; each section of the YAML is an attribute.

    Attributes:
        run_dir: Directory of checkpoints, logs and sample predictions.
        model: The base checkpoint.
        data: The training data.
        batch: Number and size of the batches.
        recipe: "lora".
        seed: Of the data stream, the dropout and new parameters.
        lora: LoRA adapters.
        trainable: Parts of names of the parameters that are trained besides the adapters.
        optimizer: The optimizer.
        devices: Precision and memory.
        validation: Validation during training.
        cache: Cache of SAM's features.
        checkpoint_every: Optimizer steps between two checkpoints.
        coarse_weight: Weight of the loss of coarse masks in a style that has them, which then learn the target's own
            mask; 0 as in CoReS' published training, where only gradients through the final mask reach them.

    Raises:
        ConfigurationError: If a value is out of range; the message names the key.
    """

    run_dir: Path
    model: ModelConfig
    data: DataConfig
    batch: BatchConfig
    recipe: Literal["lora"] = "lora"
    seed: int = 0
    lora: LoraConfig = field(default_factory=LoraConfig)
    trainable: tuple[str, ...] = ("lm_head", "embed_tokens", "mask_decoder", "text_hidden_fcs")
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    devices: DeviceConfig = field(default_factory=DeviceConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    cache: CacheConfig = field(default_factory=CacheConfig)
    checkpoint_every: int = 100
    coarse_weight: float = 0.0

    def __post_init__(self) -> None:
        _check_sam(self.model.sam or {})
        for name, value, limit, fits in _ranges(self):
            if not fits:
                raise ConfigurationError(f"{name} is {value}; it must be {limit}")
        if not 0 <= self.optimizer.warmup_steps < self.batch.steps:
            raise ConfigurationError(
                f"optimizer.warmup_steps is {self.optimizer.warmup_steps}; it must be below batch.steps "
                f"({self.batch.steps})"
            )
        if not self.lora.r and not self.trainable:
            raise ConfigurationError("lora.r is 0 and trainable is empty: nothing would learn; give one of them")


def _ranges(run: TrainConfig) -> Iterator[tuple[str, float, str, bool]]:
    """Name and value of each number, the range that it must be in, and whether it is."""
    batch, optimizer, validation = run.batch, run.optimizer, run.validation
    for name, value in (
        ("batch.steps", batch.steps),
        ("batch.batch_size", batch.batch_size),
        ("batch.accumulation", batch.accumulation),
        ("batch.max_length", batch.max_length),
        ("optimizer.lr", optimizer.lr),
        ("optimizer.eps", optimizer.eps),
        ("optimizer.clip", optimizer.clip),
        ("validation.every", validation.every),
        ("validation.max_images", 1 if validation.max_images is None else validation.max_images),
        ("checkpoint_every", run.checkpoint_every),
        ("cache.limit_gb", run.cache.limit_gb),
        ("data.max_turns", run.data.max_turns),
        *((f"data.groups.{name}.weight", group.weight) for name, group in run.data.groups.items()),
    ):
        yield name, value, "above 0 and finite", 0 < value < math.inf
    for name, value in (
        ("batch.workers", batch.workers),
        ("optimizer.weight_decay", optimizer.weight_decay),
        ("validation.pictures", validation.pictures),
        ("coarse_weight", run.coarse_weight),
        ("data.skip_limit", run.data.skip_limit),
    ):
        yield name, value, "0 or above", 0 <= value < math.inf
    yield "seed", run.seed, "0 or above and below 2**63", 0 <= run.seed < 1 << 63  # what PyTorch and NumPy both take
    for number, value in enumerate(optimizer.betas):
        yield f"optimizer.betas[{number}]", value, "0 or above and below 1", 0 <= value < 1
    for name in ("text_answers", "swapped_phrases", "multi_turn"):
        value = getattr(run.data, name)
        yield f"data.{name}", value, "within 0..1", 0 <= value <= 1


def _check_sam(values: Mapping[str, object]) -> None:
    """Raises ConfigurationError naming a key that SamConfig does not have, or whose value is of another type."""
    kinds = typing.get_type_hints(SamConfig)
    for key, value in values.items():
        if key not in kinds:
            raise ConfigurationError(f"unknown key model.sam.{key}; there are {', '.join(sorted(kinds))}")
        parse_value(kinds[key], list(value) if isinstance(value, tuple) else value, f"model.sam.{key}")
        least = 0 if key == "window_size" else 1  # 0: attention without windows
        if kinds[key] is int and value < least:
            raise ConfigurationError(f"model.sam.{key} is {value}; it must be {least} or above")


def load_config(path: Path) -> TrainConfig:
    """Reads and checks the YAML of a run.

    Args:
        path: The YAML file.

    Returns:
        The configuration, with defaults filled in.

    Raises:
        ConfigurationError: If the file cannot be read, or a key is unknown, missing or out of range; the message names
            file and key.

    Example:
        >>> config = load_config(Path("config/training/lisa_qlora_3090.yaml"))
        >>> config.devices.quantization
        'nf4'
    """
    try:
        return parse(TrainConfig, read_yaml(path), "")
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from None


def dump_config(config: TrainConfig) -> str:
    """The configuration as YAML with every key.

    Args:
        config: The configuration of a run.

    Returns:
        Text that `load_config` reads.
    """
    return yaml.safe_dump(_plain(asdict(config)), sort_keys=False, allow_unicode=True)


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, Path) else value
