"""`python -m training.data check`: what is there, what is missing, where it comes from."""

import json
import shutil
from pathlib import Path

import pytest

from lisa_ros.datasets.refer import OTHER_SPLITS
from lisa_ros.errors import ConfigurationError, DatasetError
from lisa_ros.images import read_image
from lisa_ros.types import Sample
from training.data.__main__ import main
from training.data.catalogue import CATALOGUE, DRAWN, UNLISTED, entry
from training.data.check import COMPLETE, DAMAGED, MISSING, PARTIAL, check, table
from training.data.sources import TRAINING, VALIDATION

pytestmark = pytest.mark.unit
ROOT = Path(__file__).resolve().parents[2]
FALSE_PREMISES = {
    *(f"{prefix}{name}" for prefix in ("R-", "fp") for name in ("refcoco", "refcoco+", "refcocog")),
    *(f"{name}|{by}" for name, by in OTHER_SPLITS.items()),
}


def test_the_miniatures_are_whole_but_smaller_than_published(root):
    found = {status.name: status for status in check(root)}
    assert set(found) == set(CATALOGUE)
    absent = {"grefcoco", "ref-zom", "llava_v1_5_mix665k", "ReasonSeg|test", *FALSE_PREMISES}
    absent |= {name for name in CATALOGUE if name.startswith("LLMSeg-40K")}
    assert {name for name, status in found.items() if status.state == MISSING} == absent
    assert {status.state for name, status in found.items() if name not in absent} <= {COMPLETE, PARTIAL}
    assert (found["ade20k"].samples, found["pascal_part"].state) == (2, COMPLETE)
    assert ("ade20k/images/training/*.jpg", 2, 20210) in found["ade20k"].files
    text = table(list(found.values()))
    for name in absent:
        assert CATALOGUE[name].home in text
    assert "ade20k/images/training/*.jpg: 2 of 20210" in text


def test_every_data_set_on_disk_can_be_checked():
    names = {*TRAINING, *VALIDATION}
    assert UNLISTED not in map(entry, names)
    assert {name for name in names if entry(name) == DRAWN} == {"tabletop", "tabletop|val", "tabletop|heldout"}
    assert set(CATALOGUE) <= names
    assert entry("refcoco|unc_exclude_unified|val") == entry("refcoco|unc_exclude_unified") != entry("refcoco|unc|val")


def test_every_name_of_a_yaml_is_known(root):
    names = [*TRAINING, *VALIDATION]
    found = {status.name: status for status in check(root, names, read=0)}
    assert list(found) == names
    for name in ("tabletop", "tabletop|val", "tabletop|heldout"):
        assert (found[name].state, found[name].samples) == (COMPLETE, None)
    assert found["grefcoco|unc|testA"].state == MISSING
    assert found["refcoco|unc|val"].samples == len(VALIDATION["refcoco|unc|val"](root))
    assert found["refcoco|unc|val"].files == found["refcoco"].files
    assert CATALOGUE["grefcoco"].home in table(list(found.values()))


def test_a_picture_that_is_not_there_is_named(copy_of_root):
    path = copy_of_root / "refer_seg" / "images" / "saiapr_tc-12" / "02" / "images" / "2.jpg"
    path.unlink()
    (status,) = check(copy_of_root, ["refclef"])
    assert (status.state, status.absent) == (PARTIAL, (path,))
    assert f"1 files of its 2 samples are not there, as {path}" in table([status])


@pytest.mark.parametrize(
    ("name", "path", "content"),
    [
        ("refcoco", "refer_seg/refcoco/instances.json", "{"),
        ("pascal_part", "vlpart/pascal_part/train.json", "[]"),
        ("ReasonSeg|val", "reason_seg/ReasonSeg/val/v0.json", "{}"),
        ("ade20k", "ade20k/annotations/training/ADE_train_00000001.png", "no picture"),
        ("cocostuff", "coco/train2017/000000000000.jpg", ""),
        ("llava_instruct_150k", "llava_dataset/llava_instruct_150k.json", '[{"id": 1}]'),
    ],
)
def test_a_damaged_file_is_named(copy_of_root, name, path, content):
    (copy_of_root / path).write_text(content)
    (status,) = check(copy_of_root, [name])
    assert status.state == DAMAGED
    (reason,) = status.broken or (status.error,)
    assert str(copy_of_root / path) in reason and reason in table([status])


@pytest.mark.parametrize("row", ["oops", {"image": 5}])
def test_a_row_that_is_none_damages_its_set_alone(copy_of_root, capsys, row):
    path = copy_of_root / "llava_dataset" / "llava_instruct_150k.json"
    rows = json.loads(path.read_text())
    path.write_text(json.dumps([*rows, row]))
    statuses = check(copy_of_root, ["ade20k", "llava_instruct_150k", "ReasonSeg|train"], read=1000)
    assert [status.state for status in statuses] == [PARTIAL, DAMAGED, PARTIAL]
    (reason,) = statuses[1].broken
    assert str(path) in reason and f"row {len(rows)}" in reason
    assert main(["check", str(copy_of_root), "ade20k", "llava_instruct_150k", "ReasonSeg|train"]) == 1
    output = capsys.readouterr().out
    assert "llava_instruct_150k  damaged" in output and "ReasonSeg|train" in output and reason in output


def test_all_that_is_broken_and_all_that_is_absent(copy_of_root):
    folder = copy_of_root / "reason_seg" / "ReasonSeg" / "val"
    pictures = sorted(folder.glob("*.jpg"))
    for path in pictures[:2]:
        path.write_bytes(path.read_bytes()[:200])
    pictures[2].with_suffix(".json").unlink()
    (status,) = check(copy_of_root, ["ReasonSeg|val"], read=1000)
    assert (status.state, status.samples, len(status.broken)) == (DAMAGED, len(pictures), 2)
    assert status.absent == (pictures[2].with_suffix(".json"),)
    text = table([status])
    assert all(str(path) in text for path in (*pictures[:2], *status.absent)) and "2 of the samples" in text


def test_the_command(root, capsys):
    assert main(["check", str(root), "pascal_part", "refclef"]) == 0
    output = capsys.readouterr().out
    assert "pascal_part  complete" in output and "refclef" in output
    assert main(["check", str(root), "grefcoco"]) == 1
    assert "github.com/henghuiding/gRefCOCO" in capsys.readouterr().out
    assert main(["check", str(root), "imagenet"]) == 2
    error = capsys.readouterr().err
    assert "imagenet: no such data set" in error and "refcoco|unc|val" in error and "tabletop" in error


class Registered:
    """A data set that somebody has added to the table of sources."""

    source = "mine"

    def __init__(self, paths):
        self.paths = paths

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        return Sample(read_image(self.paths[index]), (), "mine")

    def files(self, index):
        return (self.paths[index],)

    def key(self, index):
        return str(index)


def test_a_registered_data_set_is_complete_only_with_its_files(copy_of_root, monkeypatch):
    picture = copy_of_root / "ade20k" / "images" / "training" / "ADE_train_00000001.jpg"
    absent = copy_of_root / "no.jpg"
    here = {"mine": [picture], "half": [picture, absent], "none": [absent], "empty": []}
    for name, paths in here.items():
        monkeypatch.setitem(TRAINING, name, lambda root, paths=paths: Registered(paths))

    def unopened(root):
        raise DatasetError(f"{root / 'mine.json'} is not there")

    monkeypatch.setitem(TRAINING, "unopened", unopened)
    statuses = check(copy_of_root, [*here, "unopened"])
    assert [one.state for one in statuses] == [COMPLETE, PARTIAL, MISSING, MISSING, MISSING]
    assert "mine.json is not there" in table(statuses) and "holds no samples" in table(statuses)


def test_sets_that_nobody_asked_for_are_not_listed(copy_of_root, tmp_path, capsys):
    for folder in ("refer_seg", "vlpart", "llava_dataset", "mapillary", "cocostuff", "ade20k"):
        shutil.rmtree(copy_of_root / folder)
    (copy_of_root / "reason_seg" / "ReasonSeg" / "explanatory" / "train.json").unlink()
    assert main(["check", str(copy_of_root)]) == 0
    listed, rest = capsys.readouterr().out.split("nothing there of: ")
    partial = [line.split()[0] for line in listed.splitlines() if " partial " in line]
    assert partial == ["ReasonSeg|train", "ReasonSeg|val"]
    assert "missing" not in listed and "refcoco+" in rest and "ReasonSeg|train|explanatory" in rest
    assert main(["check", str(tmp_path / "empty")]) == 2
    (tmp_path / "empty").mkdir()
    assert main(["check", str(tmp_path / "empty")]) == 1
    assert "no file of a known data set" in capsys.readouterr().out


def test_the_sets_of_a_run(copy_of_root, capsys):
    config = ROOT / "config" / "training" / "lisa_reasonseg.yaml"
    assert main(["check", str(copy_of_root), "--config", str(config)]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:3]]
    assert names == ["ReasonSeg|train|explanatory", "ReasonSeg|val"]


def test_a_folder_that_is_not_there():
    with pytest.raises(ConfigurationError, match="no directory"):
        check("/nowhere/at/all")


def test_as_many_samples_are_read_as_asked(copy_of_root):
    (copy_of_root / "ade20k" / "images" / "training" / "ADE_train_00000001.jpg").write_bytes(b"")
    assert check(copy_of_root, ["ade20k"], read=0)[0].state == PARTIAL
    assert check(copy_of_root, ["ade20k"], read=1)[0].state == DAMAGED


def test_fewer_than_no_samples_cannot_be_read(root, capsys):
    assert main(["check", str(root), "ade20k", "--read", "-1"]) == 2
    assert capsys.readouterr().err == "error: --read is -1; it must be 0 or above\n"
