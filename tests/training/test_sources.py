"""Every data set that a recipe names exists, and every recipe's stream opens where the miniature data sets are."""

from pathlib import Path

import pytest
from golden_training import ROOT, TINY

from lisa_ros.errors import ConfigurationError
from training.config.sections import DataConfig, DatasetGroupConfig
from training.config.train_config import load_config
from training.data.sources import TRAINING, VALIDATION, open_items, open_validation

pytestmark = pytest.mark.unit
RECIPES = sorted((ROOT / "config" / "training").glob("lisa_*.yaml"))
PLACES = (ROOT / "tests" / "golden" / "datasets", ROOT.parent / "shared" / "golden" / "datasets")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipes_name_known_sets(path):
    config = load_config(path)
    assert config.data.groups
    for group in config.data.groups.values():
        assert set(group.sets) <= set(TRAINING)
    assert set(config.validation.data) <= set(VALIDATION)


def test_the_published_mixture():
    groups = load_config(ROOT / "config" / "training" / "lisa_pretrain.yaml").data.groups
    weights = {name: group.weight for name, group in groups.items()}
    assert weights == {"sem_seg": 9, "refer_seg": 3, "vqa": 3, "reason_seg": 1}


def test_unknown_names_are_told():
    with pytest.raises(ConfigurationError, match="data names 'coco'; there are ade20k"):
        open_items(DataConfig(groups={"a": DatasetGroupConfig(1, ("coco",))}), 0)
    with pytest.raises(ConfigurationError, match=r"validation\.data names 'x'"):
        open_validation(["x"], Path("."))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_items_of_the_real_formats_make_batches(path):
    root = next((place for place in PLACES if place.is_dir()), None)
    if root is None:
        pytest.skip("the miniature data sets are not here")
    config = load_config(path)
    data = DataConfig(config.data.groups, root)
    items, checkpoint = open_items(data, 0), TINY.checkpoint()
    collator, sources = TINY.collator(checkpoint, max_length=4096), set()
    for index in range(40):
        item = items[index]
        sources.add(item.source)
        collator.check(item)
    batch = collator([items[index] for index in range(4)])
    assert len(batch.states) == sum(len(masks) for masks in batch.masks)
    assert len(sources) >= len(config.data.groups)
    for name, samples in open_validation(config.validation.data, root).items():
        assert len(samples) and len(samples[0].turns) == 1, name


def test_tabletop_sets():
    items = open_items(DataConfig(groups={"t": DatasetGroupConfig(1, ("tabletop",))}), 0)
    assert items[3].key == items[3].key
    assert len(open_validation(["tabletop|val"], Path("."))["tabletop|val"]) == 200
