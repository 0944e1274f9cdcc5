"""The YAML of one training run, typed: unknown keys, missing keys and wrong types are errors that name the key."""

import math
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Literal

import yaml

from lisa_ros.errors import ConfigurationError
from lisa_ros.model.sam_config import SamConfig
from training.base import ModelSettings
from training.lora import LoraSettings

RECIPES = ("lora", "tabletop")
_SPOKEN = {tuple: "list", Mapping: "mapping", Path: "path"}


@dataclass(frozen=True)
class GroupSettings:
    """weight: how often an item comes from the group, against the others' weights. sets: names of its data sets."""

    weight: float
    sets: tuple[str, ...]


@dataclass(frozen=True)
class DataSettings:
    """groups: what is drawn from. root: directory of the data sets, in the layout of LISA's README; the tabletop world
    needs none. max_turns: most questions of one item. text_answers: of explained samples, the share asked for words.
    paraphrases: JSON lines with further wordings of questions. skip_limit: samples that cannot be read before a process
    gives up, and images of one validation set.
    """  # noqa: D205

    groups: Mapping[str, GroupSettings]
    root: Path = Path("datasets")
    max_turns: int = 3
    text_answers: float = 0.1
    paraphrases: Path | None = None
    skip_limit: int = 100


@dataclass(frozen=True)
class OptimizerSettings:
    """name: "adamw" or "adamw8bit" (bitsandbytes, CUDA). lr: peak. warmup_steps: of `steps`. clip: gradient norm."""

    name: Literal["adamw", "adamw8bit"] = "adamw"
    lr: float = 3e-4
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-8
    weight_decay: float = 0.0
    warmup_steps: int = 100
    clip: float = 1.0


@dataclass(frozen=True)
class BatchSettings:
    """steps: optimiser steps in all. batch_size: items of one micro-batch on one device. accumulation: micro-batches
    of one optimiser step on one device. max_length: longest row in tokens, visual ones included; longer dialogues are
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
class DeviceSettings:
    """precision: of computation and frozen weights; trained weights are float32. quantization: "nf4" for a 4-bit base
    (QLoRA). gradient_checkpointing: recompute activations, a third more time for a fraction of the memory.
    """  # noqa: D205

    precision: Literal["bf16", "fp32"] = "bf16"
    quantization: Literal["none", "nf4"] = "none"
    gradient_checkpointing: bool = True


@dataclass(frozen=True)
class ValidationSettings:
    """data: names of the sets, as `ReasonSeg|val`. every: optimiser steps between two validations. max_images: of each
    set, None for all. pictures: sample predictions written at each validation.
    """  # noqa: D205

    data: tuple[str, ...] = ()
    every: int = 500
    max_images: int | None = None
    pictures: int = 8


@dataclass(frozen=True)
class CacheSettings:
    """Features of frozen SAM on disk. directory: None for no cache. limit_gb: nothing is stored beyond it."""

    directory: Path | None = None
    limit_gb: float = 100.0


@dataclass(frozen=True)
class Settings:
    """One run. run_dir: checkpoints, logs, pictures. trainable: parts of names of the parameters that learn beside the
    adapters. checkpoint_every: optimiser steps between two saves.
    """  # noqa: D205

    run_dir: Path
    model: ModelSettings
    data: DataSettings
    batch: BatchSettings
    recipe: Literal["lora"] = "lora"
    seed: int = 0
    lora: LoraSettings = field(default_factory=LoraSettings)
    trainable: tuple[str, ...] = ("lm_head", "embed_tokens", "mask_decoder", "text_hidden_fcs")
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    devices: DeviceSettings = field(default_factory=DeviceSettings)
    validation: ValidationSettings = field(default_factory=ValidationSettings)
    cache: CacheSettings = field(default_factory=CacheSettings)
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


def _ranges(run: Settings) -> Iterator[tuple[str, float, str, bool]]:
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
        _value(kinds[key], list(value) if isinstance(value, tuple) else value, f"model.sam.{key}")
        least = 0 if key == "window_size" else 1  # 0: attention without windows
        if kinds[key] is int and value < least:
            raise ConfigurationError(f"model.sam.{key} is {value}; it must be {least} or above")


def read_recipe(path: Path) -> str:
    """The recipe that a YAML is for; raises ConfigurationError naming the file."""
    recipe = read_yaml(path).get("recipe")
    if recipe not in RECIPES:
        raise ConfigurationError(f"{path}: recipe is {recipe!r}; it must be one of {', '.join(RECIPES)}")
    return recipe


def load_settings(path: Path) -> Settings:
    """Reads and checks the file; raises ConfigurationError naming file and key."""
    try:
        return parse(Settings, read_yaml(path), "")
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from None


def dump_settings(settings: Settings) -> str:
    """The settings as YAML with every key, that `load_settings` reads."""
    return yaml.safe_dump(_plain(asdict(settings)), sort_keys=False, allow_unicode=True)


def read_yaml(path: Path) -> dict[str, object]:
    """The mapping in a file; raises ConfigurationError naming it."""
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not text in UTF-8: {error}") from None
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ConfigurationError(f"{path} must hold a mapping, not {type(values).__name__}")
    return values


def parse(kind: type, values: object, prefix: str) -> object:
    """A dataclass from a mapping; raises ConfigurationError naming the key, with `prefix` before it."""
    if not isinstance(values, dict):
        raise ConfigurationError(
            f"{prefix.removesuffix('.') or 'the file'} must be a mapping, not {type(values).__name__}"
        )
    hints, names = typing.get_type_hints(kind), {one.name for one in fields(kind)}
    for key in values:
        if key not in names:
            raise ConfigurationError(f"unknown key {prefix}{key}; there are {', '.join(sorted(names))}")
    for one in fields(kind):
        if one.name not in values and one.default is MISSING and one.default_factory is MISSING:
            raise ConfigurationError(f"missing key {prefix}{one.name}")
    return kind(**{key: _value(hints[key], value, prefix + key) for key, value in values.items()})


def _value(kind: object, value: object, name: str) -> object:
    """`value` as the annotated type `kind`."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if is_dataclass(kind):
        return parse(kind, value, f"{name}.")
    if origin in (typing.Union, types.UnionType):
        return None if value is None else _value(next(a for a in arguments if a is not type(None)), value, name)
    if origin is Literal:
        if value not in arguments:
            raise ConfigurationError(f"{name} is {value!r}; it must be one of {', '.join(map(str, arguments))}")
        return value
    if origin is tuple and isinstance(value, list):
        repeated = arguments[-1] is Ellipsis
        if not repeated and len(value) != len(arguments):
            raise ConfigurationError(f"{name} must have {len(arguments)} values, not {len(value)}")
        return tuple(_value(arguments[0], one, f"{name}[{index}]") for index, one in enumerate(value))
    if origin is not None and issubclass(origin, Mapping) and isinstance(value, dict):
        inner = arguments[1]
        return {key: _value(inner, one, f"{name}.{key}") if is_dataclass(inner) else one for key, one in value.items()}
    if kind is Path and isinstance(value, str):
        try:
            return Path(value).expanduser()  # no shell has read the file
        except RuntimeError as error:
            raise ConfigurationError(f"{name} is {value!r}: {error} Give the whole path") from None
    if kind is float and isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            return float(value)  # YAML takes 3e-4, without a point, for text
        except ValueError:
            pass
    if isinstance(kind, type) and type(value) is kind:
        return value
    wanted = _SPOKEN.get(origin or kind) or getattr(kind, "__name__", str(kind))
    raise ConfigurationError(f"{name} is {value!r}; it must be of type {wanted}")


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, Path) else value
