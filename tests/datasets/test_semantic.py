"""ADE20K, COCO-Stuff, Mapillary: classes and masks of the original loaders; label images that do not fit."""

import json

import numpy as np
import pytest
from PIL import Image

from lisa_ros.datasets.class_labels import ADE20K, COCO_STUFF
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


def cocostuff_of(copy, *maps):
    """Other label values in the miniature's two maps."""
    folder = copy / "cocostuff" / "train2017"
    for path, values in zip(sorted(folder.glob("*.png")), maps, strict=True):
        height, width = read_labels(path).shape
        labels = np.resize(np.array(values, np.uint8), (height, width))
        Image.fromarray(labels).save(path)
    return folder


@pytest.mark.parametrize(
    "maps",
    [
        ([0, 92, 157, 183], [0, 107, 183]),  # stuff_train2017_pixelmaps: 183 for all things
        ([0, 92, 157], [0, 107, 183]),  # of which this picture shows none
        ([0, 1, 18, 182], [0, 3, 157]),
        ([0, 1, 18, 44], [0, 3, 157]),  # 44 is a bottle; as a label value it would be a plate, which no picture shows
    ],
)
def test_maps_of_ids_are_no_maps_of_labels(copy_of_root, maps):
    """Every class would be its neighbour: 157, the sky, would be snow."""
    folder = cocostuff_of(copy_of_root, *maps)
    with pytest.raises(DatasetError, match=r"its maps hold ids, .* stuff_\*_pixelmaps .*\(stuffthingmaps") as raised:
        coco_stuff(copy_of_root)
    assert str(folder) in str(raised.value)


def test_maps_that_do_not_show_their_numbering_are_told(copy_of_root, caplog):
    coco_stuff(copy_of_root)
    assert "does not show by its values whether they count from 0 or from 1" in caplog.records[0].getMessage()
    caplog.clear()
    cocostuff_of(copy_of_root, [0, 17, 156, 255], [0, 43, 91])
    data = coco_stuff(copy_of_root)
    assert not caplog.records
    assert [turn.question for turn in data[0].turns] == ["person", COCO_STUFF[17], "sky"]
    assert [turn.question for turn in data[1].turns] == ["person", "bottle", "banner"]


def test_a_label_that_no_picture_shows_is_told(copy_of_root):
    cocostuff_of(copy_of_root, [0, 17, 255], [0, 44, 255])
    with pytest.raises(DatasetError, match=r"label values \[44\] that cocostuff/train2017 does not have"):
        coco_stuff(copy_of_root)[1]


def test_reduced_maps_of_ade20k_are_told(copy_of_root):
    for path in (copy_of_root / "ade20k" / "annotations" / "training").glob("*.png"):
        Image.fromarray(read_labels(path) - np.uint8(1)).save(path)
    with pytest.raises(DatasetError, match="has the value 255 and no 150: its maps were reduced by one"):
        ade20k(copy_of_root)


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
