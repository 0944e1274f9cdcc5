"""The sections of a run's configuration."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lisa_ros.errors import ConfigurationError


@dataclass(frozen=True)
class ModelConfig:
    """The checkpoint that a run starts from.

    Attributes:
        source: A LISA checkpoint (packaged name, path or hub id), or the directory of a LLaVA.
        vision_tower: Replaces the vision tower that the checkpoint names.
        conv_type: Replaces the conversation template of the checkpoint.
        style: Replaces the style of the checkpoint; for a new LISA the style that it is made for.
        sam_checkpoint: Segment Anything's file (.pth); only with a LLaVA.
        mask2former: In its place, a Mask2Former of transformers: directory or hub name; only with a LLaVA.
        mask2former_size: Side of the square that it sees, px.
        sam: Sizes of Segment Anything that cannot be derived from the shapes of its weights.
        dinov2: File of DINOv2's weights (.pth) for style llmseg, where the source does not hold them.
        proposal_head: Sizes and rule of style llmseg that neither weights nor config.json tell.
    """

    source: str
    vision_tower: str | None = None
    conv_type: str | None = None
    style: str | None = None
    sam_checkpoint: str | None = None
    mask2former: str | None = None
    mask2former_size: int = 1024
    sam: Mapping[str, object] | None = None
    dinov2: str | None = None
    proposal_head: Mapping[str, object] | None = None


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
        swapped_phrases: Share of items that are asked for a phrase of another picture too, which is absent in theirs.
        paraphrases: JSON lines with other wordings of questions.
        skip_limit: Unreadable samples before a process stops with an error; also unreadable images of one validation
            set.
        correction_masks: In a style that corrects questions (sesame), answers show what they name in the place of an
            absent thing.
        proposals: Files with the pictures' proposals (masks.json) for a style that chooses among them, below `root`
            unless they are whole paths; "truth" takes the masks of each sample's own targets. Also of validation sets.
        multi_turn: Share of the items with several questions that ask them one after the other in one conversation.
    """

    groups: Mapping[str, DatasetGroupConfig]
    root: Path = Path("datasets")
    max_turns: int = 3
    text_answers: float = 0.1
    swapped_phrases: float = 0.0
    paraphrases: Path | None = None
    skip_limit: int = 100
    correction_masks: bool = False
    proposals: tuple[str, ...] = ()
    multi_turn: float = 0.0


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
