"""The tabletop data set: deterministic by index, disjoint splits, masks that belong to the answers."""

import numpy as np
import pytest

from lisa_ros.datasets.tabletop import VARIANTS, TabletopDataset
from lisa_ros.errors import ConfigurationError
from lisa_ros.types import Sample

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("split", ["train", "val", "heldout"])
def test_samples_are_deterministic(split):
    first, second = (TabletopDataset(split, 3)[1] for _ in range(2))
    assert isinstance(first, Sample) and first.source == f"tabletop/{split}/default"
    assert (first.image == second.image).all() and first.image.shape == (192, 256, 3)
    assert [turn.question for turn in first.turns] == [turn.question for turn in second.turns]


def test_splits_show_different_scenes():
    images = [TabletopDataset(split, 1)[0].image for split in ("train", "val", "heldout")]
    assert all((a != b).mean() > 0.5 for i, a in enumerate(images) for b in images[:i])


def test_turns_carry_their_masks():
    data = TabletopDataset("heldout", 6, queries=12)
    absent = 0
    for index, sample in enumerate(data):
        scene = data.scene(index)
        assert len(sample.turns) == 12
        for turn in sample.turns:
            assert turn.is_sentence and turn.question
            if turn.kind == "absent":
                (target,) = turn.targets
                assert target.mask is None and target.instance_id is None and "[SEG]" not in turn.answer
                absent += 1
                continue
            assert turn.answer.count("[SEG]") == len(turn.targets)
            for target in turn.targets:
                assert (target.mask == (scene.instances == target.instance_id)).all() and target.mask.any()
                colour, category = target.phrase.split()
                assert f"{category} in {colour}" in turn.answer
    assert absent > 8


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_variants(variant):
    data = TabletopDataset("heldout", 2, 4, variant)
    sample = data[0]
    expected = (480, 640, 3) if variant == "vga" else (192, 256, 3)
    assert sample.image.shape == expected and sample.turns
    if variant != "default":
        assert (data.scene(0).depth.shape != (192, 256)) or (
            sample.image != TabletopDataset("heldout", 1)[0].image
        ).any()


def test_clutter_is_clutter():
    data = TabletopDataset("heldout", 5, variant="clutter")
    assert np.mean([len(data.scene(i).objects) for i in range(5)]) > 9


def test_bad_arguments():
    for arguments in (("test", 1), ("train", -1)):
        with pytest.raises(ConfigurationError):
            TabletopDataset(*arguments)
    with pytest.raises(ConfigurationError, match="variant"):
        TabletopDataset("val", 1, variant="fog")
    with pytest.raises(IndexError):
        TabletopDataset("val", 1)[1]
