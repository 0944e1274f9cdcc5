"""The YAML of the recipe that compares styles, typed. Every key is required and unknown keys are errors."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from lisa_ros.errors import ConfigurationError
from lisa_ros.model.styles import get_style
from lisa_ros.simulator.layout import SceneOptions
from training.config.yaml_files import parse, read_yaml
from training.tabletop.loop import LoopOptions


@dataclass(frozen=True)
class WorldConfig:
    """The scenes, and what is asked about them.

    Attributes:
        categories: Kinds of objects.
        objects: Fewest and most objects of a scene.
        phrases: Asked about one scene in training.
        phrases_per_question: Of these, how many a style that lists them puts into one question.
        absent_share: Share of the phrases whose thing is not in the scene. Every second of these is a false premise:
            the kind of thing is there, in another colour.
    """

    categories: tuple[str, ...]
    objects: tuple[int, int]
    phrases: int
    phrases_per_question: int
    absent_share: float

    def options(self) -> SceneOptions:
        """Of the simulator; raises ConfigurationError for kinds and numbers that it does not have."""
        return SceneOptions(objects=self.objects, categories=self.categories)


@dataclass(frozen=True)
class TrainingConfig:
    """How each style is trained.

    Attributes:
        batch_size: Scenes of one step.
        steps: Optimizer steps in all.
        lr: Peak learning rate.
        warmup: Steps of its linear rise.
        decay: Steps of its linear fall to 0 at the end, no more than there are. A run can be prolonged, or cut short,
            from before it.
    """

    batch_size: int
    steps: int
    lr: float
    warmup: int
    decay: int

    def __post_init__(self) -> None:
        if self.decay > self.steps:
            raise ConfigurationError(f"training.decay is {self.decay}; there are {self.steps} steps")

    def loop(self, save_every: int) -> LoopOptions:
        """For `fit`."""
        fraction = self.decay / self.steps
        return LoopOptions(self.steps, self.lr, self.warmup, decay_fraction=fraction, save_every=save_every)


@dataclass(frozen=True)
class EvaluationConfig:
    """How each style is scored, on scenes that none was trained on.

    Attributes:
        scenes: Number of them.
        phrases: Asked about each.
        max_new_tokens: Longest answer.
        small_pixels: A present target of fewer pixels is small.
        cluttered_objects: A scene of so many objects or more is cluttered.
        pictures: Scenes whose answers are shown.
    """

    scenes: int
    phrases: int
    max_new_tokens: int
    small_pixels: int
    cluttered_objects: int
    pictures: int


@dataclass(frozen=True, kw_only=True)
class ComparisonBase:
    """What the files of all comparisons have.

    Attributes:
        run_dir: Checkpoints, logs, answers and the table.
        source: Checkpoint that all that is compared begins with; its image encoder stays as it is.
        processes: What is trained at the same time, each in a process of its own with one thread.
        world: Scenes and phrases.
        training: Equal for all.
        evaluation: Equal for all.
    """

    run_dir: Path
    source: str
    processes: int
    world: WorldConfig
    training: TrainingConfig
    evaluation: EvaluationConfig

    @property
    def names(self) -> tuple[str, ...]:
        """Of what is compared; the others are compared with the first."""
        raise NotImplementedError

    def __post_init__(self) -> None:
        self.world.options()
        positive = {
            "processes": self.processes,
            "world.phrases": self.world.phrases,
            "world.phrases_per_question": self.world.phrases_per_question,
            **{f"training.{name}": value for name, value in vars(self.training).items()},
            **{f"evaluation.{name}": value for name, value in vars(self.evaluation).items()},
        }
        for name, value in positive.items():
            if not 0 < value < float("inf"):
                raise ConfigurationError(f"{name} is {value}; it must be above 0 and finite")


@dataclass(frozen=True, kw_only=True)
class ComparisonConfig(ComparisonBase):
    """One file of the command `compare-styles`.

    Attributes:
        styles: Names; the others are compared with the first.
    """

    styles: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """See ComparisonBase."""
        return self.styles

    def __post_init__(self) -> None:
        for style in self.styles:
            if get_style(style).chooses:
                raise ConfigurationError(f"styles has {style}, which chooses masks: compare-choosers compares those")
        if len(set(self.styles)) < max(2, len(self.styles)):
            raise ConfigurationError(f"styles is {', '.join(self.styles)}; give two or more, none of them twice")
        if not 0 < self.world.absent_share < 1:
            raise ConfigurationError(f"world.absent_share is {self.world.absent_share}; it must be between 0 and 1")
        super().__post_init__()


_Config = TypeVar("Config", bound=ComparisonBase)


def load_config(path: Path) -> ComparisonConfig:
    """Reads and checks the file; raises ConfigurationError naming file and key."""
    return read_comparison(path, ComparisonConfig)


def read_comparison(path: Path, kind: type[_Config]) -> _Config:
    """Reads and checks a file of a comparison; raises ConfigurationError naming file and key."""
    values = read_yaml(path)
    values.pop("recipe", None)  # the command line has read it
    try:
        return parse(kind, values, "")
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from None
