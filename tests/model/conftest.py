"""Reference data of the official code, one directory a variant; the tests here run on every variant that is found."""

import json
import sys
from functools import cached_property
from pathlib import Path

import numpy as np
from golden_variants import GsvaVariant, find_golden
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))


class Variant:
    """A tiny model and what the official code computed with it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.meta = json.loads((directory / "oracle_meta.json").read_text())
        self.checkpoint = directory / "lisa_hf"
        self._frames = {}

    def json(self, name: str):
        return json.loads((self.directory / "golden" / f"{name}.json").read_text())

    def arrays(self, name: str) -> np.lib.npyio.NpzFile:
        return np.load(self.directory / "golden" / f"{name}.npz")

    @cached_property
    def tokenizer(self):
        from lisa_ros.model.tokenizer import LisaTokenizer

        return LisaTokenizer.from_directory(self.checkpoint)

    @cached_property
    def lisa(self):
        """The engine, with what shapes and config.json do not tell given as a user would."""
        from lisa_ros import Lisa

        return Lisa.from_pretrained(
            self.checkpoint,
            vision_tower=self.directory / "clip_tiny",
            device="cpu",
            sam=self.meta["sam"],
            conv_type=self.meta["conv_type"],
        )

    @property
    def images(self) -> int:
        return len(self.meta["image_sizes_hw"])

    def image(self, index: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB."""
        return np.array(Image.open(self.directory / "images" / f"img{index}.png").convert("RGB"))

    def frame(self, index: int):
        """The encoded image, computed once a session."""
        if index not in self._frames:
            self._frames[index] = self.lisa.encode(self.image(index))
        return self._frames[index]


def pytest_generate_tests(metafunc):
    if "variant" in metafunc.fixturenames:
        metafunc.parametrize("variant", _VARIANTS, ids=lambda variant: variant.directory.name, scope="session")
    if "gsva" in metafunc.fixturenames:
        metafunc.parametrize("gsva", _GSVA_VARIANTS, ids=lambda variant: variant.directory.name, scope="session")


_VARIANTS = [Variant(directory) for directory in find_golden(None)]
_GSVA_VARIANTS = [GsvaVariant(directory) for directory in find_golden("gsva")]
