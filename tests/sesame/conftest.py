"""Reference data of SESAME's official code: the tests here run on every variant of it that is found."""

import json
import os
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
SYSTEM = "sesame"


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


def find_variants(system: str) -> list[Path]:
    """Directories whose oracle_meta.json names the system; of each name the first one that is found."""
    given = os.environ.get("LISA_ROS_GOLDEN")
    places = [Path(given) if given else ROOT / "tests" / "golden", ROOT.parent / "shared" / "golden_systems"]
    found = {}
    for place in places:
        for directory in (place, *sorted(place.glob("*"))):
            meta = directory / "oracle_meta.json"
            if meta.is_file() and json.loads(meta.read_text()).get("system") == system:
                found.setdefault(directory.name, directory)
    return list(found.values())


VARIANTS = [SesameGolden(directory) for directory in find_variants(SYSTEM)]


def pytest_generate_tests(metafunc):
    if "variant" in metafunc.fixturenames:
        metafunc.parametrize("variant", VARIANTS, ids=lambda variant: variant.directory.name, scope="session")
