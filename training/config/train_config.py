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
from training.config.yaml_files import parse, parse_value, read_yaml


@dataclass(frozen=True)
class ModelConfig:
    """source: a LISA checkpoint (packaged name, path, hub id), or a LLaVA's directory.

    sam_checkpoint: Segment Anything's file (.pth), for a LLaVA only. sam: its sizes where shapes do not tell them.
    vision_tower, conv_type, style: in place of what the checkpoint says; style also says what a new one is made for.
    """

    source: str
    vision_tower: str | None = None
    conv_type: str | None = None
    style: str | None = None
    sam_checkpoint: str | None = None
    sam: Mapping[str, object] | None = None


@dataclass(frozen=True)
class LoraConfig:
    """r: rank, 0 for no adapter. alpha: the update is scaled by alpha / r. targets: names of the adapted layers."""

    r: int = 8
    alpha: int = 16
    dropout: float = 0.05
    targets: tuple[str, ...] = ("q_proj", "v_proj")

    def __post_init__(self) -> None:
        if self.r < 0 or self.alpha <= 0 or not 0 <= self.dropout < 1:
            raise ConfigurationError(
                f"lora: r is {self.r}, alpha {self.alpha}, dropout {self.dropout}; r >= 0, alpha > 0, 0 <= dropout < 1"
            )


@dataclass(frozen=True)
class DatasetGroupConfig:
    """weight: how often an item comes from the group, against the others' weights. sets: names of its data sets."""

    weight: float
    sets: tuple[str, ...]


@dataclass(frozen=True)
class DataConfig:
    """groups: what is drawn from. root: directory of the data sets, in the layout of LISA's README; the tabletop world
    needs none. max_turns: most questions of one item. text_answers: of explained samples, the share asked for words.
    paraphrases: JSON lines with further wordings of questions. skip_limit: samples that cannot be read before a process
    gives up, and images of one validation set.
    """  # noqa: D205

    groups: Mapping[str, DatasetGroupConfig]
    root: Path = Path("datasets")
    max_turns: int = 3
    text_answers: float = 0.1
    paraphrases: Path | None = None
    skip_limit: int = 100


@dataclass(frozen=True)
class OptimizerConfig:
    """name: "adamw" or "adamw8bit" (bitsandbytes, CUDA). lr: peak. warmup_steps: of `steps`. clip: gradient norm."""

    name: Literal["adamw", "adamw8bit"] = "adamw"
    lr: float = 3e-4
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-8
    weight_decay: float = 0.0
    warmup_steps: int = 100
    clip: float = 1.0


@dataclass(frozen=True)
class BatchConfig:
    """steps: optimizer steps in all. batch_size: items of one micro-batch on one device. accumulation: micro-batches
    of one optimizer step on one device. max_length: longest row in tokens, visual ones included; longer dialogues are
    cut, rows that would lose a [SEG] are left out and counted. workers: processes that prepare batches, 0 for none.
    ignore_regions: leave pixels that a data set marks as "ignore" out of the loss; False: they are background, as in
    the official code.
    """  # noqa: D205

    steps: int
    batch_size: int = 2
    accumulation: int = 10
    max_length: int = 512
    workers: int = 2
    ignore_regions: bool = True


@dataclass(frozen=True)
class DeviceConfig:
    """precision: of computation and frozen weights; trained weights are float32. quantization: "nf4" for a 4-bit base
    (QLoRA). gradient_checkpointing: recompute activations, a third more time for a fraction of the memory.
    """  # noqa: D205

    precision: Literal["bf16", "fp32"] = "bf16"
    quantization: Literal["none", "nf4"] = "none"
    gradient_checkpointing: bool = True


@dataclass(frozen=True)
class ValidationConfig:
    """data: names of the sets, as `ReasonSeg|val`. every: optimizer steps between two validations. max_images: of each
    set, None for all. pictures: sample predictions written at each validation.
    """  # noqa: D205

    data: tuple[str, ...] = ()
    every: int = 500
    max_images: int | None = None
    pictures: int = 8


@dataclass(frozen=True)
class CacheConfig:
    """Features of frozen SAM on disk. directory: None for no cache. limit_gb: nothing is stored beyond it."""

    directory: Path | None = None
    limit_gb: float = 100.0


@dataclass(frozen=True)
class TrainConfig:
    """One run. run_dir: checkpoints, logs, pictures. trainable: parts of names of the parameters that learn beside the
    adapters. checkpoint_every: optimizer steps between two saves.
    """  # noqa: D205

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
        ("data.skip_limit", run.data.skip_limit),
    ):
        yield name, value, "0 or above", 0 <= value < math.inf
    yield "seed", run.seed, "0 or above and below 2**63", 0 <= run.seed < 1 << 63  # what PyTorch and NumPy both take
    for number, value in enumerate(optimizer.betas):
        yield f"optimizer.betas[{number}]", value, "0 or above and below 1", 0 <= value < 1
    yield "data.text_answers", run.data.text_answers, "within 0..1", 0 <= run.data.text_answers <= 1


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
    """Reads and checks the file; raises ConfigurationError naming file and key."""
    try:
        return parse(TrainConfig, read_yaml(path), "")
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from None


def dump_config(config: TrainConfig) -> str:
    """The configuration as YAML with every key, that `load_config` reads."""
    return yaml.safe_dump(_plain(asdict(config)), sort_keys=False, allow_unicode=True)


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, Path) else value
