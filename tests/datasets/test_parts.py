"""PACO-LVIS and PASCAL-Part: names and masks of the original loaders; damaged annotation files."""

import json

import numpy as np
import pytest

from lisa_ros.datasets.parts import PartsDataset, paco_lvis, pascal_part, wordings
from lisa_ros.errors import DatasetError, InvalidImageError

pytestmark = pytest.mark.unit
OPENERS = {"sem_paco_lvis": paco_lvis, "sem_pascal_part": pascal_part}


@pytest.mark.parametrize("name", OPENERS)
def test_equals_the_original_loader(root, official, name):
    data = OPENERS[name](root)
    numbers = {(data.root / data.key(n)).relative_to(root).as_posix(): n for n in range(len(data))}
    rows = [row for row in official[0]["items"] if row["dataset"] == name]
    assert rows
    for row in rows:
        turns = data[numbers[row["image_path"]]].turns
        masks = {text: turn.targets[0].mask for turn in turns for text in (turn.question, *turn.alternatives)}
        for asked, mask in zip(row["sampled_classes"], official[1][f"{row['key']}/masks"], strict=True):
            np.testing.assert_array_equal(masks[asked], mask > 0)


def test_one_turn_for_each_annotation(copy_of_root):
    path = copy_of_root / "vlpart" / "pascal_part" / "train.json"
    content = json.loads(path.read_text())
    content["annotations"].append(content["annotations"][0] | {"id": 3, "segmentation": [[1, 1, 5, 1, 5, 5]]})
    content["images"].append(content["images"][0] | {"id": 2, "file_name": "without_annotations.jpg"})
    path.write_text(json.dumps(content))
    data = pascal_part(copy_of_root)
    assert len(data) == 1 and data.key(0) == "2008_000001.jpg"
    turns = data[0].turns
    assert [turn.question for turn in turns] == ["dog head", "car left mirror", "dog head"]
    assert [turn.targets[0].instance_id for turn in turns] == [1, 2, 3]
    assert {turn.kind for turn in turns} == {"part"}


def test_names():
    assert wordings("dog_(animal)") == ("dog",)
    assert wordings("trash_can:handle") == ("trash can handle", "the handle of the trash can")
    assert wordings("bottle_(container):cap_(lid)") == ("bottle cap", "the cap of the bottle")


def test_a_bad_mask_is_named_when_it_is_taken(copy_of_root):
    path = copy_of_root / "vlpart" / "paco" / "annotations" / "paco_lvis_v1_train.json"
    content = json.loads(path.read_text())
    content["annotations"][2]["segmentation"]["counts"] = "Zl1:"
    path.write_text(json.dumps(content))
    turns = paco_lvis(copy_of_root)[0].turns
    assert turns[0].targets[0].mask.any()
    with pytest.raises(DatasetError, match="annotation 102") as raised:
        turns[2]
    assert str(path) in str(raised.value)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"categories": []}, "unknown category"),
        ({"categories": [{"id": 1}]}, "name"),
        ({"categories": [{"id": 1, "name": "a:b:c"}]}, "too many values"),
        ({"annotations": []}, "no picture"),
        ({"annotations": None}, "not as it should be"),
    ],
)
def test_damaged_files_are_named(tmp_path, change, reason):
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "height": 4, "width": 4}],
        "categories": [{"id": 1, "name": "dog"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": []}],
    }
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(content | change))
    with pytest.raises(DatasetError, match=reason) as raised:
        PartsDataset(path, tmp_path, "parts")
    assert str(path) in str(raised.value)


def test_pictures_that_do_not_fit_are_named(copy_of_root):
    path = copy_of_root / "vlpart" / "pascal_part" / "train.json"
    path.write_text(path.read_text().replace('"height": 45', '"height": 46'))
    with pytest.raises(DatasetError, match=r"2008_000001\.jpg has 75x45 pixels, its annotations 75x46"):
        pascal_part(copy_of_root)[0]
    (copy_of_root / "coco" / "train2017" / "000000000000.jpg").unlink()
    with pytest.raises(InvalidImageError, match=r"000000000000\.jpg"):
        paco_lvis(copy_of_root)[0]
