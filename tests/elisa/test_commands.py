"""`lisa-ros ask` with an ELISA: its options, and what it writes."""

import json
import shutil

import pytest
from golden_variants import ROOT

from lisa_ros.cli import main

pytestmark = pytest.mark.unit
SAM = ROOT / "tests" / "golden" / "llmseg_tiny" / "sam_tiny.pth"
PROPOSALS = "points_per_side=4, pred_iou_thresh=-10, stability_score_thresh=0, box_nms_thresh=0.99, limit=6"


def ask(golden, tmp_path, *options, model=None):
    case = golden.json("generate")["cases"]["two_masks_interleaved"]
    arguments = ["ask", str(golden.directory / case["image"]), case["query"], "--device", "cpu"]
    arguments += ["--model", str(model or golden.directory), "--out", str(tmp_path / "out")]
    return main([*arguments, *map(str, options)])


def test_an_answer_with_its_candidates(golden, tmp_path):
    assert ask(golden, tmp_path, "--sam-checkpoint", SAM, "--proposal-options", PROPOSALS) == 0
    targets = json.loads((tmp_path / "out" / "answer.json").read_text())["targets"]
    assert targets and all(0 <= one["candidate"]["index"] < 6 and one["candidate"]["score"] > 0 for one in targets)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "--sam-checkpoint PATH"),
        (("--sam-checkpoint", SAM, "--proposal-options", "points=4"), "unknown proposal options: points"),
        (("--sam-checkpoint", SAM, "--proposal-options", "limit"), "--proposal-options: 'limit' must be NAME=VALUE"),
    ],
)
def test_what_is_missing_or_wrong_is_told_in_one_line(golden, tmp_path, capsys, options, words):
    assert ask(golden, tmp_path, *options) == 2
    assert words in capsys.readouterr().err.splitlines()[-1]


def test_missing_weights_of_alphaclip_are_named(golden, tmp_path, capsys):
    """The file, where it comes from, where to put it."""
    folder = tmp_path / "elisa"
    shutil.copytree(golden.directory, folder, copy_function=shutil.copyfile, ignore=shutil.ignore_patterns("golden"))
    for path in (folder, *(one for one in folder.rglob("*") if one.is_dir())):
        path.chmod(0o755)
    (weights,) = (folder / "alphaclip").iterdir()
    weights.unlink()
    assert ask(golden, tmp_path, model=folder) == 2
    told = capsys.readouterr().err
    assert str(weights) in told and "https://" in told and "put it there" in told and "--alphaclip PATH" in told
