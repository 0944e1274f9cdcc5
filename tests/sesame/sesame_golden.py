"""A variant of SESAME's reference data, and what its tests share."""

import json
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from lisa_ros.types import SEGMENTED


class SesameGolden:
    """A tiny model, and what the official code computed with it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.meta = json.loads((directory / "oracle_meta.json").read_text())
        self.checkpoint = directory / self.meta["hf_dir"]
        self._frames = {}

    def json(self, name: str):
        return json.loads((self.directory / "golden" / f"{name}.json").read_text())

    def arrays(self, name: str) -> np.lib.npyio.NpzFile:
        return np.load(self.directory / "golden" / f"{name}.npz")

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

    def frame(self, index: int):
        """The encoded image, computed once a session."""
        if index not in self._frames:
            self._frames[index] = self.lisa.encode(self.image(index))
        return self._frames[index]

    @property
    def images(self) -> int:
        return len(self.meta["image_sizes_hw"])

    def image(self, index: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB."""
        return np.array(Image.open(self.directory / "images" / f"img{index}.png").convert("RGB"))


def masks_of(result) -> list:
    """All targets of an answer that have a mask token, in its order: one that is offered comes first."""
    offered = [target.alternative for target in result.targets if target.alternative]
    return offered + [target for target in result.targets if target.kind == SEGMENTED]
