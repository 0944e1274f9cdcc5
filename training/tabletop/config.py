"""The YAML of the tabletop recipe, typed. Every key is required in the file and unknown keys are errors."""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from lisa_ros.errors import ConfigurationError
from lisa_ros.model.checks import check_rotary_width
from lisa_ros.model.sam_config import SamConfig
from training.config.yaml_files import parse, read_yaml
from training.tabletop.scenes import IMAGE_SIZE


@dataclass(frozen=True)
class TabletopModelConfig:
    """Sizes of the small model; names as in SamConfig and in transformers' LlamaConfig."""

    embed_dim: int
    depth: int
    num_heads: int
    stem_channels: tuple[int, int, int]
    stem_depths: tuple[int, int, int]
    prompt_embed_dim: int
    decoder_mlp_dim: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    vocab_size: int

    def check(self) -> None:
        """Raises ConfigurationError for widths that attention cannot divide among its heads."""
        self.sam()  # has checks of its own
        check_rotary_width("model.hidden_size", self.hidden_size, "model.num_attention_heads", self.num_attention_heads)

    def sam(self) -> SamConfig:
        """The Segment Anything part."""
        return SamConfig(
            image_size=IMAGE_SIZE,
            embed_dim=self.embed_dim,
            depth=self.depth,
            num_heads=self.num_heads,
            global_attn_indexes=tuple(range(self.depth)),
            window_size=0,
            prompt_embed_dim=self.prompt_embed_dim,
            decoder_mlp_dim=self.decoder_mlp_dim,
            iou_head_hidden_dim=32,
            stem_channels=self.stem_channels,
            stem_depths=self.stem_depths,
            high_res_features=True,
        )


@dataclass(frozen=True)
class VisionStageConfig:
    """Stage 1."""

    batch_size: int
    steps: int
    lr: float


@dataclass(frozen=True)
class LanguageStageConfig:
    """Stage 2."""

    batch_size: int
    questions_per_scene: int
    steps: int
    lr: float


@dataclass(frozen=True)
class JointStageConfig:
    """Stage 3."""

    batch_size: int
    questions_per_scene: int
    steps: int
    lr: float
    encoder_lr_scale: float
    decoder_lr_scale: float


@dataclass(frozen=True)
class TabletopTrainConfig:
    """One file."""

    run_dir: Path
    model: TabletopModelConfig
    vision: VisionStageConfig
    language: LanguageStageConfig
    tabletop: JointStageConfig

    def __post_init__(self) -> None:
        for name, value in _numbers(asdict(self)):
            zero = name.endswith("_lr_scale")  # 0: stage 3 leaves image encoder or mask decoder as they are
            if not (0 < value < math.inf or (zero and value == 0)):
                raise ConfigurationError(f"{name} is {value}; it must be {'0 or ' * zero}above 0 and finite")
        self.model.check()


def _numbers(values: dict[str, object]) -> Iterator[tuple[str, float]]:
    """Name and value of each number of the sections."""
    for section, entries in values.items():
        for key, value in entries.items() if isinstance(entries, dict) else ():
            if isinstance(value, tuple):
                yield from ((f"{section}.{key}[{number}]", one) for number, one in enumerate(value))
            else:
                yield f"{section}.{key}", value


def load_config(path: Path) -> TabletopTrainConfig:
    """Reads and checks the file; raises ConfigurationError naming file and key."""
    values = read_yaml(path)
    values.pop("recipe", None)  # the command line has read it
    try:
        return parse(TabletopTrainConfig, values, "")
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from None
