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
    """The checkpoint that a run starts from.

    Attributes:
        source: A LISA checkpoint (packaged name, path or hub id), or the directory of a LLaVA.
        vision_tower: Replaces the vision tower that the checkpoint names.
        conv_type: Replaces the conversation template of the checkpoint.
        style: Replaces the style of the checkpoint; for a new LISA the style that it is made for.
        sam_checkpoint: Segment Anything's file (.pth); only with a LLaVA.
        sam: Sizes of Segment Anything that cannot be derived from the shapes of its weights.
    """

    source: str
    vision_tower: str | None = None
    conv_type: str | None = None
    style: str | None = None
    sam_checkpoint: str | None = None
    sam: Mapping[str, object] | None = None


@dataclass(frozen=True)
class LoraConfig:
    """LoRA adapters of the language model.

    Attributes:
        r: Rank; 0 for no adapters.
        alpha: The update is scaled by alpha / r.
        dropout: Dropout probability of the adapters' input.
        targets: Names of the adapted linear layers.
    """

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
    """One group of the data mixture.

    Attributes:
        weight: Relative frequency of items from this group.
        sets: Names of its data sets.
    """

    weight: float
    sets: tuple[str, ...]


@dataclass(frozen=True)
class DataConfig:
    """The training data.

    Attributes:
        groups: Groups of data sets, by name.
        root: Directory of the data sets, in the layout of LISA's README; not needed for the tabletop world.
        max_turns: Maximum number of questions of one item.
        text_answers: Share of samples with an explanation that are asked for text only.
        paraphrases: JSON lines with other wordings of questions.
        skip_limit: Unreadable samples before a process stops with an error; also unreadable images of one validation
            set.
    """

    groups: Mapping[str, DatasetGroupConfig]
    root: Path = Path("datasets")
    max_turns: int = 3
    text_answers: float = 0.1
    paraphrases: Path | None = None
    skip_limit: int = 100


@dataclass(frozen=True)
class OptimizerConfig:
    """The optimizer.

    Attributes:
        name: "adamw" or "adamw8bit" (bitsandbytes, CUDA only).
        lr: Peak learning rate.
        betas: Coefficients of AdamW.
        eps: Term that AdamW adds to the denominator.
        weight_decay: Decoupled weight decay.
        warmup_steps: Optimizer steps of linear warm-up, part of `batch.steps`.
        clip: Maximum norm of the gradient.
    """

    name: Literal["adamw", "adamw8bit"] = "adamw"
    lr: float = 3e-4
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-8
    weight_decay: float = 0.0
    warmup_steps: int = 100
    clip: float = 1.0


@dataclass(frozen=True)
class BatchConfig:
    """Number and size of the batches.

    Attributes:
        steps: Optimizer steps in all.
        batch_size: Items of a micro-batch on one device.
        accumulation: Micro-batches of an optimizer step on one device.
        max_length: Maximum length of a conversation in tokens, visual tokens included. Longer dialogues are truncated;
            items that would lose a mask token are skipped and counted.
        workers: Processes that prepare batches; 0 for none.
        ignore_regions: Whether pixels that a data set marks as "ignore" are excluded from the loss; otherwise they are
            background, as in the official code.
    """

    steps: int
    batch_size: int = 2
    accumulation: int = 10
    max_length: int = 512
    workers: int = 2
    ignore_regions: bool = True


@dataclass(frozen=True)
class DeviceConfig:
    """Precision and memory.

    Attributes:
        precision: Of computation and frozen weights; trained weights are float32.
        quantization: "nf4" for a 4-bit base (QLoRA), or "none".
        gradient_checkpointing: Recomputes activations: about a third more time for a fraction of the memory.
    """

    precision: Literal["bf16", "fp32"] = "bf16"
    quantization: Literal["none", "nf4"] = "none"
    gradient_checkpointing: bool = True


@dataclass(frozen=True)
class ValidationConfig:
    """Validation during training.

    Attributes:
        data: Names of the validation sets, such as `ReasonSeg|val`. The gIoU of the first one decides which checkpoint
            is the best.
        every: Optimizer steps between two validations.
        max_images: Maximum number of images of each set; None for all.
        pictures: Sample predictions written at each validation.
    """

    data: tuple[str, ...] = ()
    every: int = 500
    max_images: int | None = None
    pictures: int = 8


@dataclass(frozen=True)
class CacheConfig:
    """The cache of the frozen SAM encoder's features on disk.

    Attributes:
        directory: None for no cache.
        limit_gb: Size limit in GB, beyond which nothing is stored.
    """

    directory: Path | None = None
    limit_gb: float = 100.0


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
