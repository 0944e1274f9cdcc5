"""Recipes of SESAME's training: their data sets are there, and two steps of each run on miniature data."""

import shutil
from dataclasses import replace

import pytest
import yaml
from accelerate.state import AcceleratorState, GradientState, PartialState
from golden_variants import ROOT

from lisa_ros import Lisa
from lisa_ros.model.styles import get_style
from training.commands import merge, train
from training.config.train_config import load_config
from training.data.sources import TRAINING, VALIDATION, open_items

pytestmark = pytest.mark.unit
RECIPES = sorted((ROOT / "config" / "training").glob("sesame*.yaml"))
LISA_DATA = ROOT / "tests" / "golden" / "datasets"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """One data folder with the miniatures of LISA's and of SESAME's sets."""
    place = tmp_path_factory.mktemp("data")
    for source in (LISA_DATA, ROOT / "tests" / "golden" / "sesame_datasets"):
        shutil.copytree(source, place, dirs_exist_ok=True, copy_function=shutil.copyfile)
    return place


def small(path, root, tiny, place):
    """The recipe with a tiny model, two steps and this data folder; everything else as it is."""
    values = yaml.safe_load(path.read_text())
    values["run_dir"] = str(place / "run")
    values["model"] |= {
        "source": str(tiny.checkpoint),
        "vision_tower": str(tiny.directory / "clip_tiny"),
        "sam": tiny.meta["sam"],
    }
    values["model"].pop("sam_checkpoint", None)
    values["data"]["root"] = str(root)
    values["batch"] |= {"steps": 2, "batch_size": 1, "accumulation": 1, "workers": 0, "max_length": 2048}
    values["optimizer"]["warmup_steps"] = 1
    values["validation"] |= {"every": 2, "max_images": 1, "pictures": 1}
    config = place / "run.yaml"
    config.write_text(yaml.safe_dump(values))
    return config


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_set_of_a_recipe_gives_items(path, root):
    config = load_config(path)
    names = [name for group in config.data.groups.values() for name in group.sets]
    assert set(names) <= set(TRAINING) and set(config.validation.data) <= set(VALIDATION)
    assert config.model.style == "sesame" and config.model.conv_type == "llava_v1"
    items = open_items(replace(config.data, root=root), 0, get_style("sesame"))
    drawn = [items[index] for index in range(60)]
    assert len({item.source for item in drawn}) >= len(config.data.groups)
    for item in drawn:
        said = " ".join(answer for talk in item.conversations for _, answer in talk)
        assert said.count("[SEG]") == len(item.masks), item.source


@pytest.fixture
def fresh_accelerator():
    """Accelerate's state belongs to the process: neither an earlier run's is met nor is this one's left."""
    states = AcceleratorState, GradientState, PartialState
    for state in states:
        state._reset_state()
    yield
    for state in states:
        state._reset_state()


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_two_steps_and_a_merge(path, root, tiny, tmp_path, fresh_accelerator, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "1")
    config = load_config(small(path, root, tiny, tmp_path))
    train(config)
    merge(config, None, tmp_path / "merged")
    lisa = Lisa.from_pretrained(tmp_path / "merged", vision_tower=tiny.directory / "clip_tiny", device="cpu")
    assert lisa.network.style.name == "sesame" and lisa.network.config.conv_type == "llava_v1"
    result = lisa.segment(lisa.encode(tiny.image(0)), "the red box")
    assert len(result.targets) == 1
