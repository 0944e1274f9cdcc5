"""The YAML of the recipe that compares systems that choose among proposals, typed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lisa_ros.errors import ConfigurationError
from lisa_ros.model.checks import check_whole
from lisa_ros.model.proposals import ProposalOptions
from training.comparison.config import ComparisonBase, read_comparison


@dataclass(frozen=True)
class ChooserConfig:
    """One system of the comparison; all keys but the first two are ELISA's remedies.

    Attributes:
        name: Its row of the table and folder in run_dir.
        system: What it is.
        embedding: What stands for AlphaCLIP: the packaged encoder's features of the image in which only the mask is
            shown, averaged; or those of the whole image, averaged under the mask.
        adapter_pretraining: Steps in which the adapter alone learns to give masks the rows of their words.
        wording: One wording of questions and answers, or many of them.
    """

    name: str
    system: Literal["lisa", "llmseg", "elisa"]
    embedding: Literal["masked_image", "masked_pooling"] = "masked_image"
    adapter_pretraining: int = 0
    wording: Literal["one", "varied"] = "one"

    def __post_init__(self) -> None:
        check_whole("systems.adapter_pretraining", self.adapter_pretraining, 0)
        remedies = (self.embedding, self.adapter_pretraining, self.wording) != ("masked_image", 0, "one")
        if remedies and self.system != "elisa":
            raise ConfigurationError(
                f"systems: {self.name} is {self.system}; embedding, wording, ... are of elisa alone"
            )


@dataclass(frozen=True)
class PoolConfig:
    """What is chosen among.

    Attributes:
        dropped: Share of objects without a proposal, of proposals from noisy truth.
        edge: Their edges are moved by at most so many pixels, in or out.
        parts: Share of objects of which a half is proposed as well.
        joined: Share of neighbouring objects that are proposed as one.
        background: Proposals on the table.
        point_steps: Steps in which the packaged model's decoder learns what points mean, before Segment Anything's
            generator can use it.
        points_per_side: Of the generator.
        pred_iou_thresh: Of the generator.
        stability_score_thresh: Of the generator.
    """

    dropped: float
    edge: int
    parts: float
    joined: float
    background: int
    point_steps: int
    points_per_side: int
    pred_iou_thresh: float
    stability_score_thresh: float

    def __post_init__(self) -> None:
        for name in ("dropped", "parts", "joined"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigurationError(f"pools.{name} is {getattr(self, name)}; it must be from 0 to below 1")
        for name, least in (("edge", 0), ("background", 0), ("point_steps", 1)):
            check_whole(f"pools.{name}", getattr(self, name), least)
        self.options()

    def options(self) -> ProposalOptions:
        """Of the generator; raises ConfigurationError."""
        return ProposalOptions(
            points_per_side=self.points_per_side,
            pred_iou_thresh=self.pred_iou_thresh,
            stability_score_thresh=self.stability_score_thresh,
        )


@dataclass(frozen=True, kw_only=True)
class ChooserComparisonConfig(ComparisonBase):
    """One file of the command `compare-choosers`.

    Attributes:
        systems: The others are compared with the first.
        pools: What is chosen among.
    """

    systems: tuple[ChooserConfig, ...]
    pools: PoolConfig

    @property
    def names(self) -> tuple[str, ...]:
        """See ComparisonBase."""
        return tuple(system.name for system in self.systems)

    def system(self, name: str) -> ChooserConfig:
        """The system of a name; raises ConfigurationError."""
        for system in self.systems:
            if system.name == name:
                return system
        raise ConfigurationError(f"--system {name}: there are {', '.join(self.names)}")

    def __post_init__(self) -> None:
        if len(set(self.names)) < max(2, len(self.names)):
            raise ConfigurationError(f"systems has {', '.join(self.names)}; give two or more, none of them twice")
        if self.world.absent_share != 0:
            raise ConfigurationError(
                f"world.absent_share is {self.world.absent_share}; it must be 0: neither LLM-Seg nor ELISA knows "
                "absent things, compare-styles compares what does"
            )
        super().__post_init__()


def load_config(path: Path) -> ChooserComparisonConfig:
    """Reads and checks the file; raises ConfigurationError naming file and key."""
    return read_comparison(path, ChooserComparisonConfig)
