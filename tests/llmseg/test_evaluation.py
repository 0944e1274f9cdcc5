"""`lisa-ros eval` of a system that chooses: official scores, and the proposal oracle beside."""

import json

import numpy as np
import pytest
from golden_variants import ROOT, LlmSegVariant, find_golden
from hypothesis import given
from hypothesis.extra.numpy import arrays

from lisa_ros.datasets.proposal_files import StoredProposals, WithProposals
from lisa_ros.datasets.reasonseg import ReasonSegDataset
from lisa_ros.evaluation.benchmarks.evaluate_dataset import evaluate
from lisa_ros.evaluation.benchmarks.proposal_oracle import oracle_overlaps, proposal_summary
from lisa_ros.evaluation.benchmarks.scores import summarise
from lisa_ros.evaluation.metrics import overlap_of
from lisa_ros.evaluation.predictors import TeacherForced
from lisa_ros.geometry.proposals import Proposals

pytestmark = pytest.mark.unit
VARIANTS = [LlmSegVariant(directory) for directory in find_golden("llmseg")]
DATA = ROOT / "tests" / "golden" / "llmseg40k"


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda one: one.directory.name)
def test_parity_of_reasonseg(variant, tmp_path):
    """The default rule on stored proposals."""
    (tmp_path / "reason_seg").symlink_to(variant.directory / "reason_seg")
    (path,) = variant.directory.rglob("val/masks.json")
    dataset = WithProposals(ReasonSegDataset(tmp_path, "val"), StoredProposals(path))
    log = evaluate(dataset, TeacherForced(variant.lisa), "reasonseg", tmp_path / "out", first_wording=True)
    golden = next(
        row for row in variant.json("forward")["rules"]
        if (row["weights"], row["function"], row["threshold"]) == ("merged", "validate_threshold", 0.5)
        and row["module"] != "training"
    )  # fmt: skip
    overall = summarise(log)["overall"]
    assert (overall["giou"], overall["ciou"]) == pytest.approx((golden["giou"], golden["ciou"]), abs=1e-6)
    numbers, tables = proposal_summary(log.rows)
    oracle = numbers["proposal_oracle"]
    assert overall["giou"] <= oracle["best_union"]["giou"] and len(tables) == 1
    assert oracle["best_single"]["giou"] <= oracle["best_union"]["giou"]
    again = evaluate(dataset, TeacherForced(variant.lisa), "reasonseg", tmp_path / "out", first_wording=True)
    assert again.rows == log.rows


@given(arrays(bool, (4, 6, 7)), arrays(bool, (6, 7)))
def test_no_choice_beats_the_single_oracle_and_the_union_is_at_least_as_good(masks, truth):
    single, union = oracle_overlaps(Proposals.from_masks(masks, 6, 7), truth, (6, 7))
    assert single.iou >= max(overlap_of(mask, truth).iou for mask in masks) - 1e-12
    assert union.iou >= single.iou - 1e-12


def test_disjoint_parts_are_put_together():
    truth = np.zeros((8, 8), bool)
    truth[2:6] = True
    left, right, other = (np.zeros((8, 8), bool) for _ in range(3))
    left[2:6, :4], right[2:6, 4:], other[:1] = True, True, True
    single, union = oracle_overlaps(Proposals.from_masks([left, right, other], 8, 8), truth, (8, 8))
    assert single.exact_iou == 0.5 and union.exact_iou == 1.0


def test_the_command_reports_the_oracle(tmp_path, capsys, monkeypatch):
    """`lisa-ros eval llmseg40k`: a whole run from the command line, of a model that was saved with its sizes."""
    from lisa_ros.cli import main
    from lisa_ros.model.saving import save_checkpoint

    variant = LlmSegVariant(ROOT / "tests" / "golden" / "llmseg_tiny")
    save_checkpoint(variant.lisa.model.checkpoint, tmp_path / "model")
    files = [str(DATA / "processed_data" / name / "masks.json") for name in ("coco2017", "ego_objects")]
    model = ["--model", str(tmp_path / "model"), "--vision-tower", str(variant.directory / "clip_tiny")]
    arguments = ["eval", "llmseg40k", "--data", str(DATA), "--out", str(tmp_path / "out"), "--proposals", *files]
    assert main([*arguments, *model, "--device", "cpu"]) == 0
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["overall"]["n"] == 3 and summary["proposal_oracle"]["best_union"]["n"] == 3
    assert "best union (greedy)" in (tmp_path / "out" / "report.html").read_text()
