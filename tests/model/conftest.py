"""Reference data of the official code, one directory a variant; the tests here run on every variant that is found."""

import sys
from functools import cached_property
from pathlib import Path

from golden_variants import GoldenVariant, GsvaVariant, find_golden

sys.path.insert(0, str(Path(__file__).parent))


class Variant(GoldenVariant):
    """A tiny model and what the official code computed with it."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.checkpoint = directory / "lisa_hf"

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


def pytest_generate_tests(metafunc):
    if "variant" in metafunc.fixturenames:
        metafunc.parametrize("variant", _VARIANTS, ids=lambda variant: variant.directory.name, scope="session")
    if "gsva" in metafunc.fixturenames:
        metafunc.parametrize("gsva", _GSVA_VARIANTS, ids=lambda variant: variant.directory.name, scope="session")


_VARIANTS = [Variant(directory) for directory in find_golden(None)]
_GSVA_VARIANTS = [GsvaVariant(directory) for directory in find_golden("gsva")]
