"""The YAML of the tabletop recipe, typed. Every key is required in the file and unknown keys are errors."""

from dataclasses import dataclass, fields
from pathlib import Path

import yaml

from lisa_ros.errors import ConfigurationError
from lisa_ros.model.sam import SamConfig


@dataclass(frozen=True)
class ModelSettings:
    """Sizes of the small model; names as in SamConfig and in transformers' LlamaConfig."""

    image_size: int
    embed_dim: int
    depth: int
    num_heads: int
    stem_channels: list[int]
    stem_depths: list[int]
    prompt_embed_dim: int
    decoder_mlp_dim: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    vocab_size: int

    def sam(self) -> SamConfig:
        """The Segment Anything part."""
        return SamConfig(
            image_size=self.image_size,
            embed_dim=self.embed_dim,
            depth=self.depth,
            num_heads=self.num_heads,
            global_attn_indexes=tuple(range(self.depth)),
            window_size=0,
            prompt_embed_dim=self.prompt_embed_dim,
            decoder_mlp_dim=self.decoder_mlp_dim,
            iou_head_hidden_dim=32,
            stem_channels=tuple(self.stem_channels),
            stem_depths=tuple(self.stem_depths),
            high_res_features=True,
        )


@dataclass(frozen=True)
class VisionSettings:
    """Stage 1."""

    batch_size: int
    steps: int
    lr: float


@dataclass(frozen=True)
class LanguageSettings:
    """Stage 2."""

    batch_size: int
    questions_per_scene: int
    steps: int
    lr: float


@dataclass(frozen=True)
class TabletopSettings:
    """Stage 3."""

    batch_size: int
    questions_per_scene: int
    steps: int
    lr: float
    vision_lr_scale: float


@dataclass(frozen=True)
class Settings:
    """One file."""

    run_dir: Path
    model: ModelSettings
    vision: VisionSettings
    language: LanguageSettings
    tabletop: TabletopSettings


def load_settings(path: Path) -> Settings:
    """Reads and checks the file; raises ConfigurationError naming file and key."""
    values = yaml.safe_load(Path(path).read_text())
    if isinstance(values, dict):
        values.pop("recipe", None)  # the command line has read it
    sections = {
        "model": ModelSettings,
        "vision": VisionSettings,
        "language": LanguageSettings,
        "tabletop": TabletopSettings,
    }
    _check(path, "", values, {"run_dir", *sections})
    parsed = {}
    for name, section in sections.items():
        _check(path, f"{name}.", values[name], {field.name for field in fields(section)})
        parsed[name] = section(**values[name])
    return Settings(run_dir=Path(values["run_dir"]), **parsed)


def _check(path: Path, prefix: str, values: object, names: set[str]) -> None:
    if not isinstance(values, dict):
        raise ConfigurationError(f"{path}: {prefix or 'the file'} must be a mapping, not {type(values).__name__}")
    for problem, keys in (("unknown", set(values) - names), ("missing", names - set(values))):
        if keys:
            raise ConfigurationError(f"{path}: {problem} key {prefix}{sorted(keys)[0]}")
