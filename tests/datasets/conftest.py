"""The miniature data sets, and what LISA's own loaders return for them."""

import gzip
import json
import shutil

import numpy as np
import pytest


@pytest.fixture(scope="session")
def root(golden):
    """Data folder with a miniature of every data set."""
    return golden / "datasets"


@pytest.fixture(scope="session")
def official(golden):
    """What the original loaders return: {"items", "reason_masks"}, and the arrays by key."""
    path = golden / "dataset_golden" / "dataset_golden.json"
    text = path.read_bytes() if path.exists() else gzip.decompress(path.with_suffix(".json.gz").read_bytes())
    return json.loads(text), np.load(path.with_suffix(".npz"))


@pytest.fixture
def copy_of_root(root, tmp_path):
    """A data folder of the test's own, to damage."""
    copy = tmp_path / "data"
    shutil.copytree(root, copy, copy_function=shutil.copyfile)
    for folder in (copy, *(path for path in copy.rglob("*") if path.is_dir())):
        folder.chmod(0o755)  # the original may be read-only
    return copy
