"""`python -m training proposals`: files that an interrupted run continues, and whose settings never mix."""

import json
import shutil

import numpy as np
import pytest
from golden_variants import ROOT, LlmSegVariant
from PIL import Image

from lisa_ros.datasets.proposal_files import StoredProposals
from lisa_ros.errors import ConfigurationError
from lisa_ros.model.proposals import ProposalOptions
from training.__main__ import main
from training.proposals import PictureFolder, write_proposals

pytestmark = pytest.mark.unit
VARIANT = LlmSegVariant(ROOT / "tests" / "golden" / "llmseg_tiny")
TINY = VARIANT.directory
FEW = ProposalOptions(points_per_side=4, pred_iou_thresh=-10.0, stability_score_thresh=0.3, long_side=64)


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "pictures"
    place.mkdir()
    for name in ("v0", "v1", "v2"):
        shutil.copyfile(TINY / "reason_seg" / "ReasonSeg" / "val" / f"{name}.jpg", place / f"{name}.jpg")
    return place


def test_an_interrupted_run_is_continued(folder, tmp_path, monkeypatch):
    whole, out = tmp_path / "whole.json", tmp_path / "masks.json"
    assert write_proposals(PictureFolder(folder), whole, VARIANT.sam, FEW) == {}
    reads = []
    original = PictureFolder.__getitem__

    def read(self, index):
        reads.append(index)
        if len(reads) == 3:
            raise KeyboardInterrupt
        return original(self, index)

    monkeypatch.setattr(PictureFolder, "__getitem__", read)
    with pytest.raises(KeyboardInterrupt):
        write_proposals(PictureFolder(folder), out, VARIANT.sam, FEW)
    part = tmp_path / "masks.json.part"
    part.write_text(part.read_text() + '{"image": "v2.j')  # a line that was not finished
    assert not out.exists() and write_proposals(PictureFolder(folder), out, VARIANT.sam, FEW) == {}
    assert reads == [0, 1, 2, 2] and not part.exists()
    assert json.loads(out.read_text()) == json.loads(whole.read_text())
    assert list(StoredProposals(out)) == ["v0.jpg", "v1.jpg", "v2.jpg"] and len(StoredProposals(out)["v0"])


def test_settings_do_not_mix(folder, tmp_path, monkeypatch):
    out = tmp_path / "masks.json"
    monkeypatch.setattr(PictureFolder, "__getitem__", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write_proposals(PictureFolder(folder), out, VARIANT.sam, FEW)
    with pytest.raises(ConfigurationError, match="made with other settings"):
        write_proposals(PictureFolder(folder), out, VARIANT.sam, ProposalOptions(points_per_side=5))


def test_pictures_that_cannot_be_read_are_named(folder, tmp_path):
    (folder / "broken.jpg").write_bytes(b"no picture")
    left_out = write_proposals(PictureFolder(folder), tmp_path / "masks.json", VARIANT.sam, FEW)
    assert list(left_out) == ["broken.jpg"]
    assert len(StoredProposals(tmp_path / "masks.json")) == 3


def test_the_command_line(tmp_path, capsys):
    out = tmp_path / "masks.json"
    root = TINY / "reason_seg"
    place = tmp_path / "reason_seg" / "ReasonSeg"
    shutil.copytree(root / "ReasonSeg", place)
    arguments = ["proposals", "--set", "ReasonSeg|val", "--root", str(tmp_path), "--out", str(out)]
    assert main(arguments) == 0  # without --sam: the truth
    assert f"proposals in {out}" in capsys.readouterr().out
    stored = StoredProposals(out)
    assert len(stored) == 5 and len(stored["v4"]) == 0 and stored["v0"].masks[0].any()
    assert main([*arguments, "--system", "lisa"]) == 2
    assert "there are llmseg, elisa" in capsys.readouterr().err


def test_the_command_line_with_segment_anything(folder, tmp_path, capsys):
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(folder / "a.png")
    out = tmp_path / "masks.json"
    arguments = ["proposals", "--images", str(folder), "--out", str(out), "--limit", "1", "--device", "cpu"]
    assert main([*arguments, "--sam", str(TINY / "sam_tiny.pth")]) == 0
    assert list(StoredProposals(out)) == ["a.png"] and "proposals in" in capsys.readouterr().out
    assert main(arguments) == 2 and "has no truth" in capsys.readouterr().err
