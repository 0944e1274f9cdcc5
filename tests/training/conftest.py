"""What the tests of training share."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))


def pytest_generate_tests(metafunc):
    if "golden_variant" in metafunc.fixturenames:
        from golden_training import VARIANTS

        metafunc.parametrize("golden_variant", VARIANTS, ids=lambda one: one.name, scope="session")
