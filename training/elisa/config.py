"""The YAML of the recipe `elisa`, typed; unknown keys are errors."""

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from lisa_ros.errors import ConfigurationError
from lisa_ros.model.checks import check_whole
from lisa_ros.model.elisa.rendering import MaskPosition
from lisa_ros.model.elisa.style import ElisaStyle, elisa_style
from training.config.yaml_files import parse, read_yaml
from training.elisa.objective import ElisaLossConfig


@dataclass(frozen=True)
class ElisaModelConfig:
    """What a run begins with.

    Attributes:
        source: LLaVA in transformers' layout: directory or hub name.
        alphaclip: AlphaCLIP's file or folder.
        sam_checkpoint: Segment Anything's file, for `prepare`.
        preset: "elisa", or "elisa_paper" for squashed images and the official code's vocabulary.
    """

    source: str
    alphaclip: str
    sam_checkpoint: str | None = None
    preset: Literal["elisa", "elisa_paper"] = "elisa"

    @property
    def style(self) -> ElisaStyle:
        """The preset."""
        return elisa_style(self.preset)


@dataclass(frozen=True)
class ElisaAdapterConfig:
    """The adapter of masks' embeddings; names as in ELISA's JSON files.

    Attributes:
        mlp_adapter: Two linear layers; False for the Q-adapter.
        expand_factor: Inner layers have this many times the model's width.
        dropout: In training.
        noise_level: Standard deviation of what is added to the normalised embeddings in training.
        num_linears: Of the Q-adapter: linear views.
        num_heads: Of the Q-adapter: heads of each block.
        num_queries: Of the Q-adapter: queries of each block.
    """

    mlp_adapter: bool = True
    expand_factor: int = 2
    dropout: float = 0.2
    noise_level: float = 1e-6
    num_linears: int = 25
    num_heads: tuple[int, ...] = (1,)
    num_queries: tuple[int, ...] = (10,)


@dataclass(frozen=True)
class ElisaDataConfig:
    """The records.

    Attributes:
        root: Directory of the data sets, with reason_seg/ReasonSeg.
        records: Directory with SPLIT.jsonl, which `prepare` writes.
        candidates: At most so many of an image's candidates beside the truth.
        position: Where masks stand in answers, see ElisaWording.
        text: Whether answers have a lead-in.
    """

    root: Path
    records: Path
    candidates: int = 30
    position: MaskPosition = "randomized"
    text: bool = True


@dataclass(frozen=True)
class RateConfig:
    """A learning rate: from `lr` by half a cosine to `floor` at the end."""

    lr: float
    floor: float


@dataclass(frozen=True)
class ElisaOptimizerConfig:
    """AdamW.

    Attributes:
        name: "adamw8bit" keeps its moments in 8 bits (CUDA, bitsandbytes).
        adapter: Rate of the mask adapter.
        lora: Rate of LoRA.
        epochs: Passes over the records.
        batch_size: Questions of one step.
        unknown: Share of input tokens that are replaced by `<unk>`.
        weight_decay: Of all parameters.
    """

    adapter: RateConfig
    lora: RateConfig
    epochs: int
    name: Literal["adamw", "adamw8bit"] = "adamw"
    batch_size: int = 2
    unknown: float = 0.2
    weight_decay: float = 0.01


@dataclass(frozen=True)
class ElisaTrainConfig:
    """One run.

    Attributes:
        recipe: "elisa".
        run_dir: Where its files go; it can be loaded as a checkpoint at any time.
        seed: Of new weights, order, wording, dropped tokens and dropout.
        model: What it begins with.
        adapter: The mask adapter.
        lora_rank: Of LoRA on query and value projections of the language model and CLIP; alpha is twice that.
        data: The records.
        loss: See ElisaLossConfig.
        optimizer: See ElisaOptimizerConfig.
        precision: "bf16" or "fp32", of frozen weights and computation.
        quantization: "nf4" for a 4-bit base (CUDA), or "none".
        gradient_checkpointing: Recomputes the layers' activations in the backward pass.
        validate_every: Epochs between two validations.
    """

    recipe: Literal["elisa"]
    run_dir: Path
    model: ElisaModelConfig
    data: ElisaDataConfig
    optimizer: ElisaOptimizerConfig
    lora_rank: int = 16
    seed: int = 0
    adapter: ElisaAdapterConfig = field(default_factory=ElisaAdapterConfig)
    loss: ElisaLossConfig = field(default_factory=ElisaLossConfig)
    precision: Literal["bf16", "fp32"] = "bf16"
    quantization: Literal["nf4", "none"] = "none"
    gradient_checkpointing: bool = False
    validate_every: int = 5

    def __post_init__(self) -> None:
        for name in ("lora_rank", "validate_every"):
            check_whole(name, getattr(self, name))
        for name in ("epochs", "batch_size"):
            check_whole(f"optimizer.{name}", getattr(self.optimizer, name))
        check_whole("data.candidates", self.data.candidates)
        if not 0 <= self.optimizer.unknown < 1:
            raise ConfigurationError(f"optimizer.unknown is {self.optimizer.unknown}; it must be from 0 to below 1")
        for name in ("adapter", "lora"):
            rate = getattr(self.optimizer, name)
            if not (0 < rate.lr < math.inf and 0 <= rate.floor < math.inf):
                raise ConfigurationError(
                    f"optimizer.{name}: lr {rate.lr} must be above 0, floor {rate.floor} at least 0"
                )

    def adapter_arguments(self) -> dict[str, object]:
        """The adapter in the form of ELISA's JSON files."""
        values = asdict(self.adapter)
        if self.adapter.mlp_adapter:
            values = {key: value for key, value in values.items() if not key.startswith("num_")}
        return values


def load_elisa_config(path: Path) -> ElisaTrainConfig:
    """The configuration in a file. Raises ConfigurationError naming the key."""
    return parse(ElisaTrainConfig, read_yaml(path), "")


def cosine_rate(rate: RateConfig, epoch: int, epochs: int) -> float:
    """The learning rate of an epoch, from 0. A floor above `lr` lets it rise, as the official LoRA rate does."""
    return rate.floor + (rate.lr - rate.floor) * (1 + math.cos(math.pi * epoch / epochs)) / 2
