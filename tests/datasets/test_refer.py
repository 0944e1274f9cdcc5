"""The referring data sets: the original phrases and masks; several targets, none, and damaged files."""

import json
import pickle

import numpy as np
import pytest

from lisa_ros.datasets.files import read_plain_pickle
from lisa_ros.datasets.refer import SPLITS, ReferDataset
from lisa_ros.errors import DatasetError, InvalidImageError

pytestmark = pytest.mark.unit

TRAINED = ("refcoco", "refcoco+", "refcocog", "refclef")


def by_path(data, root, path):
    paths = [(data.images_folder / image.file_name).relative_to(root).as_posix() for image in data.images]
    return data[paths.index(path)]


@pytest.mark.parametrize("name", TRAINED)
def test_masks_equal_the_original_ones(root, official, name):
    data, compared = ReferDataset(root, name, "train"), 0
    for item in official[0]["items"]:
        if item["dataset"] == f"refer_{name}":
            turns = {turn.question: turn for turn in by_path(data, root, item["image_path"]).turns}
            for text, mask in zip(item["sampled_classes"], official[1][f"{item['key']}/masks"], strict=True):
                (target,) = turns[text.strip().lower()].targets
                # Overlapping polygons add up to 2 in the original; here a pixel is in a mask or not.
                np.testing.assert_array_equal(target.mask, mask > 0)
                compared += 1
    assert compared >= 10


def test_overlapping_polygons_are_one_mask(root, official):
    assert official[1]["llava_v1/refer_refcoco/seed1/masks"].max() == 2
    data = ReferDataset(root, "refcoco", "train")
    assert all(turn.targets[0].mask.dtype == bool for turn in data[0].turns)


@pytest.mark.parametrize("name", ["refcoco", "refcocog"])
def test_validation_asks_every_phrase_of_a_picture(root, official, name):
    (item,) = [one for one in official[0]["items"] if one["key"] == f"llava_v1/val_{name}/0"]
    data = ReferDataset(root, name, "val")
    sample = data[0]
    assert (len(data), data.key(0), data.source) == (1, "COCO_train2014_000000000003", f"{name}/val")
    asked = [conversation.split("What is ")[1].split(" in this image?")[0] for conversation in item["conversations"]]
    assert [turn.question for turn in sample.turns] == asked
    for turn, mask in zip(sample.turns, official[1][f"{item['key']}/masks"], strict=True):
        np.testing.assert_array_equal(turn.targets[0].mask, mask > 0)
    assert not sample.turns[2].targets[0].mask.any()  # a reference without pixels, but one that is there


def as_grefcoco(copy):
    """A gRefCOCO made of the miniature refCOCO: one thing, two things, nothing."""
    folder = copy / "refer_seg" / "grefcoco"
    folder.mkdir()
    (copy / "refer_seg" / "refcoco" / "instances.json").rename(folder / "instances.json")

    def row(text, ids):
        return {"image_id": 1, "split": "val", "ann_id": ids, "sentences": [{"sent": text}]}

    rows = [row("Dog", [21]), row("both", [21, 22]), row("a unicorn", [-1])]
    (folder / "grefs(unc).json").write_text(json.dumps(rows))
    return folder


def test_grefcoco_has_phrases_for_several_things_and_for_none(copy_of_root):
    refcoco = {turn.targets[0].instance_id: turn for turn in ReferDataset(copy_of_root, "refcoco", "train")[0].turns}
    as_grefcoco(copy_of_root)
    one, both, none = ReferDataset(copy_of_root, "grefcoco", "val")[0].turns
    assert (one.question, both.question, none.question) == ("dog", "both", "a unicorn")
    np.testing.assert_array_equal(one.targets[0].mask, refcoco[21].targets[0].mask)
    assert [target.instance_id for target in both.targets] == [21, 22]  # each by itself, not their union
    for target in both.targets:
        np.testing.assert_array_equal(target.mask, refcoco[target.instance_id].targets[0].mask)
    assert none.targets[0].mask is None and "[SEG]" in both.answer and "[SEG]" not in none.answer


@pytest.mark.parametrize("name", ["ref-zom", "refzom"])
def test_ref_zom_has_phrases_for_zero_one_and_many(copy_of_root, name):
    """As its authors lay it out, or in the folder of another name; pictures of both parts of COCO 2014."""
    base = copy_of_root / "refer_seg"
    refcoco = {turn.targets[0].instance_id: turn for turn in ReferDataset(copy_of_root, "refcoco", "train")[0].turns}
    (base / name).mkdir()
    instances = json.loads((base / "refcoco" / "instances.json").read_text())
    (base / name / "instances.json").write_text(json.dumps(instances))
    pictures = base / "images" / "mscoco" / "images"
    (pictures / "val2014").mkdir()
    moved = next(image["file_name"] for image in instances["images"] if image["id"] == 1)
    (pictures / "train2014" / moved).rename(pictures / "val2014" / moved)

    def row(text, ids, source, split="test"):
        return {"ref_id": 1, "image_id": 1, "split": split, "ann_id": ids, "source": source,
                "sentences": [{"sent": text, "raw": text, "sent_id": 1, "tokens": text.split()}]}  # fmt: skip

    rows = [
        row("Dog", [21], "one"), row("both", [21, 22], "many"), row("a unicorn", [], "zero"),
        row("a dragon", [22], "zero"), row("of training", [21], "one", "train"),
    ]  # fmt: skip
    (base / name / "refs(final).p").write_bytes(pickle.dumps(rows))
    data = ReferDataset(copy_of_root, "ref-zom", "test")
    one, both, none, dragon = data[0].turns
    assert (one.question, both.question, none.question) == ("dog", "both", "a unicorn")
    assert data.source == "ref-zom/test" and data.files(0) == (pictures / "val2014" / moved,)
    np.testing.assert_array_equal(one.targets[0].mask, refcoco[21].targets[0].mask)
    assert [target.instance_id for target in both.targets] == [21, 22]
    assert none.targets[0].mask is None and dragon.targets[0].mask is None, "what is marked zero is in no picture"
    assert "[SEG]" in both.answer and "[SEG]" not in none.answer
    assert [turn.question for turn in ReferDataset(copy_of_root, "ref-zom", "train")[0].turns] == ["of training"]


def test_overlapping_test_splits(copy_of_root):
    """refCLEF marks a reference of several test splits with all their letters."""
    path = copy_of_root / "refer_seg" / "refclef" / "refs(unc).p"
    rows = [row | {"split": "testBC"} for row in read_plain_pickle(path) if row["split"] == "train"]
    path.write_bytes(pickle.dumps([*rows[:1], *(row | {"split": "testC"} for row in rows[1:])]))
    count = {
        split: sum(len(s.turns) for s in ReferDataset(copy_of_root, "refclef", split)) for split in ("testB", "testC")
    }
    assert 0 < count["testB"] < count["testC"] == sum(len(row["sentences"]) for row in rows)
    for split in ("testA", "train"):
        with pytest.raises(DatasetError, match=f"no references of split '{split}'"):
            ReferDataset(copy_of_root, "refclef", split)


def test_a_pickle_that_runs_code_is_refused(copy_of_root, tmp_path):
    class Attack:
        def __reduce__(self):
            return (open, (str(tmp_path / "written"), "w"))

    path = copy_of_root / "refer_seg" / "refcoco" / "refs(unc).p"
    path.write_bytes(pickle.dumps([Attack()]))
    with pytest.raises(DatasetError, match=r"refs\(unc\)\.p.*open"):
        ReferDataset(copy_of_root, "refcoco", "train")
    assert not (tmp_path / "written").exists()


def test_texts_of_python_2_that_are_no_utf_8(copy_of_root):
    """One bad entry does not refuse the set, and keeps its letters."""
    path = copy_of_root / "refer_seg" / "refcoco" / "refs(unc).p"
    rows = [row for row in read_plain_pickle(path) if row["split"] == "train"]
    texts = ["the caf\u00e9 on the left", "the man\u2019s hat", "na\u00efve na\u00efve"]
    rows[0]["sentences"] = [{"sent": text} for text in texts]
    data = pickle.dumps(rows, protocol=2)
    for text, raw in zip(
        texts, (texts[0].encode("latin-1"), texts[1].encode("cp1252"), texts[2].encode()), strict=True
    ):
        old = b"X" + len(text.encode()).to_bytes(4, "little") + text.encode()
        assert old in data
        data = data.replace(old, b"U" + bytes([len(raw)]) + raw)  # a string of Python 2
    path.write_bytes(data)
    assert read_plain_pickle(path) == rows
    questions = {turn.question for sample in ReferDataset(copy_of_root, "refcoco", "train") for turn in sample.turns}
    assert set(texts) <= questions


def test_a_phrase_that_is_no_text_refuses_its_own_picture_alone(copy_of_root):
    path = copy_of_root / "refer_seg" / "refcoco" / "refs(unc).p"
    rows = read_plain_pickle(path)
    first = next(row for row in rows if row["split"] == "train")
    first["sentences"][0]["sent"] = None
    path.write_bytes(pickle.dumps(rows))
    data = ReferDataset(copy_of_root, "refcoco", "train")
    failed = 0
    for sample in data:
        try:
            list(sample.turns)
        except DatasetError as error:
            failed += 1
            assert "phrase 1 of" in str(error) and str(path) in str(error)
    assert failed == 1 < len(data)


def test_a_pickle_of_python_2(copy_of_root):
    path = copy_of_root / "refer_seg" / "refcoco" / "refs(unc).p"
    rows = read_plain_pickle(path)
    before = [turn.question for turn in ReferDataset(copy_of_root, "refcoco", "train")[0].turns]
    # Protocol 0 with byte strings ("S'...'") is what Python 2 wrote.
    text = pickle.dumps(rows, protocol=0)
    path.write_bytes(b"".join(_as_bytes(line) for line in text.splitlines(keepends=True)))
    assert [turn.question for turn in ReferDataset(copy_of_root, "refcoco", "train")[0].turns] == before


def _as_bytes(line: bytes) -> bytes:
    """A pickle's line with its Unicode text as a byte string."""
    head, mark, tail = line.partition(b"V")
    return head + b"S'" + tail.rstrip(b"\n") + b"'\n" if mark else line


@pytest.mark.parametrize("content", [b"", b"no pickle", b"\x80\x02]q\x00(}q\x01"])
def test_a_damaged_pickle_is_named(copy_of_root, content):
    path = copy_of_root / "refer_seg" / "refcoco" / "refs(unc).p"
    path.write_bytes(content)
    with pytest.raises(DatasetError) as raised:
        ReferDataset(copy_of_root, "refcoco", "train")
    assert str(path) in str(raised.value)


def test_a_damaged_annotation_is_named_when_its_turn_is_taken(copy_of_root):
    path = copy_of_root / "refer_seg" / "refcoco" / "instances.json"
    content = json.loads(path.read_text())
    content["annotations"][0]["segmentation"] = [["x"] * 6]
    path.write_text(json.dumps(content))
    sample = ReferDataset(copy_of_root, "refcoco", "train")[0]
    with pytest.raises(DatasetError, match=r"instances\.json, annotation 21"):
        sample.turns[0]
    assert sample.turns[3].targets[0].mask.any()


def test_missing_things_are_named(copy_of_root):
    folder = copy_of_root / "refer_seg"
    path = folder / "refcoco" / "instances.json"
    content = json.loads(path.read_text())
    wrong_size = content | {"images": [row | {"height": 9} for row in content["images"]]}
    path.write_text(json.dumps(wrong_size))
    with pytest.raises(DatasetError, match=r"000000000001\.jpg has 76x52 pixels, its annotations 76x9"):
        ReferDataset(copy_of_root, "refcoco", "train")[0]
    path.write_text(json.dumps(content | {"annotations": content["annotations"][1:]}))
    with pytest.raises(DatasetError, match="missing, as 21"):
        ReferDataset(copy_of_root, "refcoco", "train")
    path.unlink()
    with pytest.raises(DatasetError, match=r"no file .*instances\.json"):
        ReferDataset(copy_of_root, "refcoco", "train")
    (folder / "images" / "mscoco" / "images" / "train2014" / "COCO_train2014_000000000001.jpg").unlink()
    with pytest.raises(InvalidImageError, match=r"COCO_train2014_000000000001\.jpg"):
        ReferDataset(copy_of_root, "refcocog", "train")[0]
    with pytest.raises(DatasetError, match="testA"):
        ReferDataset(copy_of_root, "refcocog", "testA")
    with pytest.raises(DatasetError, match=r"refs\(unc\)\.p has no references of split 'testB'"):
        ReferDataset(copy_of_root, "refcoco+", "testB")


def test_splits_are_those_of_the_papers():
    false_premises = {f"{prefix}{name}" for prefix in ("R-", "fp") for name in ("refcoco", "refcoco+", "refcocog")}
    assert set(SPLITS) == {*TRAINED, "grefcoco", "ref-zom", *false_premises}
    assert {by for name, (by, _) in SPLITS.items() if name not in false_premises} == {"unc", "umd", "final"}


@pytest.mark.parametrize(
    ("table", "change"), [("images", {"file_name": "other.jpg"}), ("annotations", {"segmentation": []})]
)
def test_an_id_of_two_rows_is_named(copy_of_root, table, change):
    path = copy_of_root / "refer_seg" / "refcoco" / "instances.json"
    content = json.loads(path.read_text())
    content[table].append(content[table][0])
    path.write_text(json.dumps(content))
    assert len(ReferDataset(copy_of_root, "refcoco", "train")) == 2  # the same row once more harms nobody
    content[table][-1] = content[table][0] | change
    path.write_text(json.dumps(content))
    with pytest.raises(DatasetError, match=rf"instances.json.*the id {content[table][0]['id']} stands for two"):
        ReferDataset(copy_of_root, "refcoco", "train")


def test_a_byte_order_mark_is_no_content(copy_of_root):
    path = copy_of_root / "refer_seg" / "refcoco" / "instances.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(ReferDataset(copy_of_root, "refcoco", "train")) == 2


def test_half_a_character_is_named_with_its_phrase(copy_of_root):
    folder = as_grefcoco(copy_of_root)
    path = folder / "grefs(unc).json"
    path.write_text(path.read_text().replace("a unicorn", r"a \ud83d unicorn"))
    turns = ReferDataset(copy_of_root, "grefcoco", "val")[0].turns
    assert turns[1].question == "both"
    with pytest.raises(DatasetError, match=r"grefs\(unc\)\.json, phrase 3 of COCO_train2014_0+1: .*half a character"):
        turns[2]
