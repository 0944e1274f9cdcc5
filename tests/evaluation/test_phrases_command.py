"""`lisa-ros eval phrases`: table, scores, exit status; un-merged weights by arguments."""

import json

import pytest
from golden_variants import ROOT

from lisa_ros.cli import main

pytestmark = pytest.mark.unit
GSVA = ROOT / "tests" / "golden" / "gsva_tiny"


@pytest.fixture
def merged(tmp_path):
    """A merged copy that knows its sizes, as this project saves it."""
    from lisa_ros.model.checkpoint import load
    from lisa_ros.model.saving import save_checkpoint

    sam = json.loads((GSVA / "oracle_meta.json").read_text())["sam"]
    save_checkpoint(load(GSVA / "gsva_hf", vision_tower=GSVA / "clip_tiny", sam=sam), tmp_path / "merged")
    return tmp_path / "merged"


def run(*arguments) -> int:
    try:
        return main(["eval", "phrases", *map(str, arguments)])
    except SystemExit as end:
        return end.code


def asked(merged, *more):
    model = "--model", merged, "--vision-tower", GSVA / "clip_tiny", "--device", "cpu"
    return "--data", GSVA / "datasets", *model, *more


def test_official_and_honest_scores(merged, tmp_path, capsys):
    assert run(*asked(merged, "--json", tmp_path / "scores.json")) == 0
    printed = capsys.readouterr().out
    assert "grefcoco/val, teacher_forced: 6 phrases, 3 of them absent" in printed
    scores = json.loads((tmp_path / "scores.json").read_text())
    official = json.loads((GSVA / "golden" / "validate.json").read_text())["grefcoco|unc|val"]
    for name in ("giou", "ciou", "n_acc", "t_acc"):
        assert scores["official"][name] == pytest.approx(official[name], abs=1e-6)
    assert scores["bad_samples"] == {} and scores["honest"]["giou"] is not None
    assert f"{official['giou']:.4f}" in printed


def test_official_scores_are_of_teacher_forcing_alone(merged, capsys):
    assert run(*asked(merged, "--mode", "decided", "--limit", "2")) == 0
    printed = capsys.readouterr().out
    assert "official" not in printed and "honest" in printed


def test_without_absent_phrases(merged, tmp_path):
    assert run(*asked(merged, "--set", "refcoco", "--json", tmp_path / "s.json")) == 0
    assert json.loads((tmp_path / "s.json").read_text())["official"]["n_acc"] is None


def test_wrong_arguments(merged, capsys):
    assert run(*asked(merged, "--split", "test")) == 2
    assert "grefcoco has val, testA, testB" in capsys.readouterr().err
    assert run(*asked(merged, "--max-new-tokens", "5")) == 2
    assert run(*asked(merged, "--style", "x")) == 2
    assert "style 'x' is not known" in capsys.readouterr().err


def test_unmerged_weights_that_lack_their_base(merged, capsys):
    model = "--model", GSVA / "gsva_pytorch_model.bin", "--device", "cpu"
    assert run("--data", GSVA / "datasets", *model) == 2
    assert "un-merged weights" in capsys.readouterr().err


def test_unmerged_weights_are_converted(tmp_path, capsys):
    """What the authors publish becomes a folder that says itself what it is."""
    sam = json.loads((GSVA / "oracle_meta.json").read_text())["sam"]
    base = "--base", GSVA / "llava_base", "--style", "gsva", "--vision-tower", GSVA / "clip_tiny", "--device", "cpu"
    command = ["convert", tmp_path / "gsva", "--model", GSVA / "gsva_pytorch_model.bin", *base]
    # The tiny network has fewer heads than the published ones, which shapes do not tell.
    with pytest.MonkeyPatch.context() as patch:
        from lisa_ros import Lisa

        original = Lisa.from_pretrained
        patch.setattr(Lisa, "from_pretrained", lambda source, **options: original(source, sam=sam, **options))
        assert main([str(word) for word in command]) == 0
    assert "style gsva" in capsys.readouterr().out
    assert json.loads((tmp_path / "gsva" / "config.json").read_text())["style"] == "gsva"
    assert run(*asked(tmp_path / "gsva", "--limit", "1")) == 0
    with pytest.raises(SystemExit) as end:
        main(["convert", str(tmp_path / "x")])
    assert end.value.code == 2
    assert main(["convert", str(tmp_path / "x"), "--model", "tabletop", "--precision", "int8"]) == 2
