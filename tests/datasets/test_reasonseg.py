"""ReasonSeg: the original masks, texts and explanations; damaged files."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lisa_ros.datasets.polygon_fill import fill_polygon
from lisa_ros.datasets.reasonseg import ReasonSegDataset, rasterise, read_annotation
from lisa_ros.errors import DatasetError, InvalidImageError

pytestmark = pytest.mark.unit

FILLED = Path(__file__).parents[1] / "golden" / "filled_polygons.json"


@pytest.mark.parametrize("split", ["train", "val"])
def test_equals_the_original_loader(root, official, split):
    data = ReasonSegDataset(root, split)
    samples = {data.key(index): data[index] for index in range(len(data))}
    rows = [row for row in official[0]["reason_masks"] if row["json"].startswith(split)]
    assert len(rows) == len(data)
    for row in rows:
        name = row["json"].split("/")[1].removesuffix(".json")
        sample, labels = samples[name], official[1][f"reason_mask/{name}.json"]
        assert [turn.question for turn in sample.turns] == row["text"]
        assert {turn.is_sentence for turn in sample.turns} == {row["is_sentence"]}
        for turn in sample.turns:
            np.testing.assert_array_equal(turn.targets[0].mask, labels == 1)
        np.testing.assert_array_equal(sample.ignore, labels == 255)
        assert sample.image.shape == (*labels.shape, 3)


def test_explanations_follow_the_mask(root):
    data = ReasonSegDataset(root, "train", explanatory=True)
    answers = {data.key(index): {turn.answer for turn in data[index].turns} for index in range(len(data))}
    explanation = "The ladder lets the woman stand higher, so that she can reach the shelf."
    assert answers == {"t0": {"[SEG]."}, "t1": {"[SEG]."}, "t2": {f"[SEG]. {explanation}"}}


def test_order_is_that_of_the_names(root):
    data = ReasonSegDataset(root, "val")
    assert [data.key(index) for index in range(len(data))] == ["v0", "v1", "v2", "v3"]


def test_polygons_are_filled_as_opencv_4_8_fills_them():
    """Also those that leave the image. OpenCV 4.6, 4.11 and 5.0 differ from it in a few pixels of many a polygon."""
    for case in json.loads(FILLED.read_text())["cases"]:
        height, width = case["size"]
        bits = np.unpackbits(np.frombuffer(bytes.fromhex(case["mask"]), np.uint8))[: height * width]
        labels = np.zeros((height, width), np.uint8)
        fill_polygon(labels, np.array(case["corners"], np.int32), 1)
        np.testing.assert_array_equal(labels, bits.reshape(height, width), str(case["corners"]))


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 39), st.integers(0, 29)), min_size=1, max_size=8))
def test_a_filled_polygon_is_what_opencv_fills_but_for_its_rim(corners):
    corners, (height, width) = np.array(corners, np.int32), (30, 40)
    ours, theirs = np.zeros((2, height, width), np.uint8)
    fill_polygon(ours, corners, 1)
    cv2.fillPoly(theirs, [corners], 1)
    edge = np.zeros((height, width), np.uint8)
    cv2.polylines(edge, [corners], True, 1, 3)
    assert not (ours != theirs)[edge == 0].any()


def test_small_shapes_stay_visible_whatever_their_order():
    def square(size, label):
        return {"label": label, "points": [[0, 0], [size, 0], [size, size], [0, size]]}

    shapes = [square(2, "target"), square(8, "Ignored"), square(5, "target"), square(9, "FLAG")]
    labels = rasterise(shapes, 12, 12)
    assert (labels == 1).sum() == 36 and (labels == 255).sum() == 81 - 36
    np.testing.assert_array_equal(labels, rasterise(shapes[::-1], 12, 12))


def test_blank_wordings_are_left_out(copy_of_root):
    path = copy_of_root / "reason_seg" / "ReasonSeg" / "train" / "t2.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"text": [" ", " the step "]}))
    assert [turn.question for turn in ReasonSegDataset(copy_of_root, "train")[2].turns] == ["the step"]


def test_texts_written_on_windows(copy_of_root):
    path = copy_of_root / "reason_seg" / "ReasonSeg" / "train" / "t2.json"
    content = json.loads(path.read_text()) | {"text": ["the café"]}
    path.write_bytes(json.dumps(content, ensure_ascii=False).encode("cp1252"))
    assert read_annotation(path, 55, 55)[0] == ("the café",)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", "not as it should be"),
        ('{"text": "a", "is_sentence": true, "shapes": []}', "must be a list"),
        ('{"text": ["a \\ud83d"], "is_sentence": true, "shapes": []}', "half a character"),
        (
            '{"text": ["a"], "is_sentence": true, "shapes": [{"label": "target", "points": [[900, 0], [990, 9]]}]}',
            "all targets lie outside the picture of [0-9]+x[0-9]+ pixels",
        ),
        ('{"text": [" "], "is_sentence": true, "shapes": []}', "not all of them blank"),
        ('{"text": ["a"], "is_sentence": "false", "shapes": []}', "is_sentence must be true or false, not 'false'"),
        ('{"text": ["a"], "is_sentence": true, "shapes": [{"points": [[0, 0]]}]}', "label"),
        ('{"text": ["a"], "is_sentence": true, "shapes": [{"label": "x", "points": [[0, 1e9]]}]}', "points"),
        ('{"text": ["a"], "is_sentence": true, "shapes": [{"label": "x", "points": []}]}', "points"),
    ],
)
def test_a_damaged_annotation_is_named(copy_of_root, content, reason):
    path = copy_of_root / "reason_seg" / "ReasonSeg" / "train" / "t1.json"
    path.write_text(content)
    with pytest.raises(DatasetError, match=reason) as raised:
        ReasonSegDataset(copy_of_root, "train")[1]
    assert str(path) in str(raised.value)


def test_missing_files_are_named(copy_of_root):
    folder = copy_of_root / "reason_seg" / "ReasonSeg"
    (folder / "train" / "t1.json").unlink()
    with pytest.raises(DatasetError, match=r"t1\.json"):
        ReasonSegDataset(copy_of_root, "train")[1]
    (folder / "train" / "t0.jpg").write_bytes(b"no picture")
    with pytest.raises(InvalidImageError, match=r"t0\.jpg"):
        ReasonSegDataset(copy_of_root, "train")[0]
    (folder / "explanatory" / "train.json").unlink()
    with pytest.raises(DatasetError, match="explanatory"):
        ReasonSegDataset(copy_of_root, "train", explanatory=True)
    with pytest.raises(DatasetError, match=r"training\.data check"):
        ReasonSegDataset(copy_of_root, "test")
    with pytest.raises(DatasetError, match="train, val, test"):
        ReasonSegDataset(copy_of_root, "trainval")
