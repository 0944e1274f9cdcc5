"""Reference data of ELISA's official code: the tests here run on every variant of it that is found."""

import sys
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_variants import GoldenVariant, find_golden
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))  # elisa_trainee


class ElisaGolden(GoldenVariant):
    """A tiny ELISA, and what the official code computed with it."""

    def image(self, name: str) -> np.ndarray:
        """(H, W, 3) uint8 RGB; name: as golden files have it."""
        return np.array(Image.open(self.directory / name).convert("RGB"))

    def masks(self, index: int) -> list[np.ndarray]:
        """Candidate masks (1024, 1024) uint8 of an image, all of them."""
        found = sorted((self.directory / "golden" / "masks").glob(f"img{index}_mask*.png"), key=lambda p: p.name)
        found.sort(key=lambda path: int(path.stem.rpartition("mask")[2]))
        return [np.array(Image.open(path).convert("L")) for path in found]

    def number(self, name: str) -> int:
        """Index of an image among those of the variant, by its name in golden files."""
        return [one["image"] for one in self.json("alphaclip")["images"]].index(name)

    def embeddings(self, name: str) -> torch.Tensor:
        """(K, D) of all candidate masks of an image, as recorded."""
        return torch.from_numpy(self.arrays("alphaclip")[f"embedding_{self.number(name)}"])

    @cached_property
    def tower(self):
        from lisa_ros.model.elisa.alphaclip import load_alphaclip

        return load_alphaclip(self.directory / "alphaclip")

    @cached_property
    def checkpoint(self):
        """Loaded as the official code computes: padding rows can be said."""
        from lisa_ros.model.elisa.checkpoint import load_elisa
        from lisa_ros.model.elisa.files import find_elisa

        return load_elisa(find_elisa(self.directory), closed=False)

    @cached_property
    def lisa(self):
        """The engine as the official code computes."""
        from lisa_ros import Lisa

        return Lisa.from_pretrained(self.directory, device="cpu", style="elisa_paper")

    @cached_property
    def corrected(self):
        """The engine with the project's own choices."""
        from lisa_ros import Lisa

        return Lisa.from_pretrained(self.directory, device="cpu")

    def proposals(self, name: str, count: int):
        """The first `count` candidate masks of an image."""
        from lisa_ros.geometry.proposals import Proposals

        masks = self.masks(self.number(name))[:count]
        return Proposals.from_masks([mask == 255 for mask in masks], *masks[0].shape)


_VARIANTS = [ElisaGolden(path) for path in find_golden("elisa")]


@pytest.fixture(scope="session", params=_VARIANTS or [None], ids=lambda one: one.directory.name if one else "none")
def golden(request) -> ElisaGolden:
    """Each variant that is found; skips where there is none."""
    if request.param is None:
        pytest.skip("no golden data of ELISA: set LISA_ROS_GOLDEN")
    return request.param
