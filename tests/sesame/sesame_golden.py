"""A variant of SESAME's reference data, and what its tests share."""

from functools import cached_property
from pathlib import Path

from golden_variants import GoldenVariant

from lisa_ros.types import SEGMENTED


class SesameGolden(GoldenVariant):
    """A tiny model, and what the official code computed with it."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.checkpoint = directory / self.meta["hf_dir"]

    @cached_property
    def lisa(self):
        """The engine, with what shapes and config.json do not tell given as a user would."""
        from lisa_ros import Lisa

        return Lisa.from_pretrained(
            self.checkpoint,
            vision_tower=self.directory / "clip_tiny",
            device="cpu",
            sam=self.meta["sam"],
            style="sesame",
        )


def masks_of(result) -> list:
    """All targets of an answer that have a mask token, in its order: one that is offered comes first."""
    offered = [target.alternative for target in result.targets if target.alternative]
    return offered + [target for target in result.targets if target.kind == SEGMENTED]
