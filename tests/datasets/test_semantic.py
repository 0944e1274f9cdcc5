"""ADE20K, COCO-Stuff, Mapillary: classes and masks of the original loaders; label images that do not fit."""

import json

import numpy as np
import pytest
from PIL import Image

from lisa_ros.datasets.class_names import ADE20K, COCO_STUFF
from lisa_ros.datasets.semantic import ade20k, coco_stuff, mapillary, read_labels
from lisa_ros.errors import DatasetError, InvalidImageError

pytestmark = pytest.mark.unit
OPENERS = {"sem_ade20k": ade20k, "sem_cocostuff": coco_stuff, "sem_mapillary": mapillary}


@pytest.mark.parametrize("name", OPENERS)
def test_equals_the_original_loader(root, official, name):
    data = OPENERS[name](root)
    numbers = {image.relative_to(root).as_posix(): number for number, (image, _) in enumerate(data.pairs)}
    rows = [row for row in official[0]["items"] if row["dataset"] == name]
    assert rows
    for row in rows:
        sample, labels = data[numbers[row["image_path"]]], official[1][f"{row['key']}/label"]
        masks = {turn.question: turn.targets[0].mask for turn in sample.turns}
        assert len(masks) == len(sample.turns) == len(np.setdiff1d(labels, 255))
        for asked, mask in zip(row["sampled_classes"], official[1][f"{row['key']}/masks"], strict=True):
            np.testing.assert_array_equal(masks[asked], mask > 0)
        covered = np.logical_or.reduce(list(masks.values()))
        np.testing.assert_array_equal(covered, labels != 255)
        assert not (covered & sample.ignore).any()


def test_unlabelled_pixels_are_ignored_and_classes_without_a_word_are_background(root):
    assert ade20k(root)[0].ignore.sum() == 875
    sample = coco_stuff(root)[0]  # shows furniture-other
    assert (
        not sample.ignore.any()
        and sum(turn.targets[0].mask.sum() for turn in sample.turns) == 3 * sample.ignore.size / 4
    )


def test_class_lists():
    assert len(set(ADE20K)) == 150 and ADE20K[0] == "wall" and ADE20K[12] == "person" and ADE20K[-1] == "flag"
    assert len(set(COCO_STUFF)) == 182 and COCO_STUFF[0] == "person" and COCO_STUFF[89] == "toothbrush"
    assert COCO_STUFF[91] == "banner" and COCO_STUFF[156] == "sky" and COCO_STUFF[-1] == "wood"


def test_mapillarys_unlabelled_class_is_no_class(copy_of_root):
    base = copy_of_root / "mapillary"
    names = [label["readable"] for label in json.loads((base / "config_v2.0.json").read_text())["labels"]]
    path = base / "training" / "v2.0" / "labels" / "m0.png"
    labels = read_labels(path)
    labels[labels == 255] = names.index("Unlabeled")
    image = Image.fromarray(labels).convert("P")  # Mapillary's files are palette images
    image.save(path)
    sample = mapillary(copy_of_root)[0]
    assert [turn.question for turn in sample.turns] == ["bird", "curb", "sky", "car"]
    np.testing.assert_array_equal(sample.ignore, labels == names.index("Unlabeled"))


def test_order_and_keys(root):
    data = ade20k(root)
    assert [data.key(index) for index in range(len(data))] == ["ADE_train_00000001", "ADE_train_00000002"]
    assert data.source == "ade20k/training"


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        (np.full((50, 70), 151, np.uint8), r"\[151\]"),
        (np.full((50, 71), 1, np.uint8), r"\(50, 71\)"),
        (np.full((50, 70, 3), 1, np.uint8), "mode is RGB"),
    ],
    ids=["value", "size", "colour"],
)
def test_labels_that_do_not_fit_are_named(copy_of_root, labels, reason):
    path = copy_of_root / "ade20k" / "annotations" / "training" / "ADE_train_00000001.png"
    Image.fromarray(labels).save(path)
    with pytest.raises(DatasetError, match=reason) as raised:
        ade20k(copy_of_root)[0]
    assert str(path) in str(raised.value)


def test_damaged_and_missing_files_are_named(copy_of_root):
    path = copy_of_root / "cocostuff" / "train2017" / "000000000000.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(DatasetError, match=r"000000000000\.png"):
        coco_stuff(copy_of_root)[0]
    (copy_of_root / "coco" / "train2017" / "000000000001.jpg").unlink()
    with pytest.raises(InvalidImageError, match=r"000000000001\.jpg"):
        coco_stuff(copy_of_root)[1]
    (copy_of_root / "mapillary" / "config_v2.0.json").write_text('{"labels": [{}]}')
    with pytest.raises(DatasetError, match=r"config_v2\.0\.json"):
        mapillary(copy_of_root)
    with pytest.raises(DatasetError, match=r"training\.data check"):
        ade20k(copy_of_root, "validation")
    with pytest.raises(DatasetError, match=r"nothing\.png"):
        read_labels(copy_of_root / "nothing.png")
