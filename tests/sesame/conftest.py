"""Reference data of SESAME's official code: the tests here run on every variant of it that is found."""

import json
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest
from golden_variants import ROOT, find_golden
from PIL import Image


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


VARIANTS = [SesameGolden(directory) for directory in find_golden("sesame")]


@pytest.fixture(scope="session")
def data_root(variant) -> Path:
    """Miniature data sets in SESAME's formats: those beside the variant, else the repository's."""
    places = variant.directory.parent / "datasets" / "sesame", ROOT / "tests" / "golden" / "sesame_datasets"
    return next(place for place in places if (place / "golden.json").is_file())


def pytest_generate_tests(metafunc):
    if "variant" in metafunc.fixturenames:
        metafunc.parametrize("variant", VARIANTS, ids=lambda variant: variant.directory.name, scope="session")
