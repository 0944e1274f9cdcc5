"""Reference data of SESAME's official code: the tests here run on every variant of it that is found."""

import sys
from pathlib import Path

import pytest
from golden_variants import ROOT, find_golden

sys.path.insert(0, str(Path(__file__).parent))
from sesame_golden import SesameGolden

VARIANTS = [SesameGolden(directory) for directory in find_golden("sesame")]


@pytest.fixture(scope="session")
def data_root(golden) -> Path:
    """Miniature data sets in SESAME's formats."""
    places = golden / "datasets" / "sesame", golden / "sesame_datasets", ROOT / "tests" / "golden" / "sesame_datasets"
    return next(place for place in places if (place / "golden.json").is_file())


@pytest.fixture(scope="session")
def tiny() -> SesameGolden:
    """The repository's variant, for what is no comparison with the official code: its words are known."""
    return SesameGolden(ROOT / "tests" / "golden" / "sesame_tiny")


def pytest_generate_tests(metafunc):
    if "variant" in metafunc.fixturenames:
        metafunc.parametrize("variant", VARIANTS, ids=lambda variant: variant.directory.name, scope="session")
