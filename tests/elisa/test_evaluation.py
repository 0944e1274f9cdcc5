"""`lisa-ros eval` of an ELISA: which candidates it chooses, with the truth among them and without, and the oracle."""

import json
from dataclasses import replace

import numpy as np
import pytest
from golden_variants import ROOT

from lisa_ros import Lisa
from lisa_ros.cli import main
from lisa_ros.datasets.proposal_files import row_of_proposals
from lisa_ros.datasets.reasonseg import ReasonSegDataset
from lisa_ros.evaluation.benchmarks.candidate_choices import candidate_answers
from lisa_ros.evaluation.benchmarks.evaluate_dataset import evaluate, score_sample
from lisa_ros.evaluation.benchmarks.proposal_oracle import ProposalOracle
from lisa_ros.evaluation.candidates.answers import CandidateAnswer
from lisa_ros.evaluation.predictors import Generative, model_digest
from lisa_ros.geometry.proposals import Proposals
from lisa_ros.types import Sample, TruthTarget, Turn

pytestmark = pytest.mark.unit
DATA = ROOT / "tests" / "golden" / "datasets"


@pytest.fixture(scope="module")
def masks_json(tmp_path_factory):
    """Four parts of every picture as its proposals."""
    path, dataset = tmp_path_factory.mktemp("proposals") / "masks.json", ReasonSegDataset(DATA, "val")
    rows = []
    for index in range(len(dataset)):
        height, width = dataset[index].image.shape[:2]
        parts = np.zeros((4, height, width), bool)
        for number, part in enumerate(parts):
            part[:, number * width // 4 : (number + 1) * width // 4] = True
        rows.append(row_of_proposals(dataset.pairs[index][0].name, Proposals.from_masks(parts, height, width)))
    path.write_text(json.dumps(rows))
    return path


def test_the_command_reports_choices_and_oracle(golden, masks_json, tmp_path, capsys):
    """Without a mode its answers are generated: they are the only ones that name candidates."""
    arguments = ["eval", "reasonseg", "--data", str(DATA), "--proposals", str(masks_json), "--out", str(tmp_path)]
    arguments += ["--model", str(golden.directory), "--device", "cpu", "--max-new-tokens", "12"]
    assert main(arguments) == 0
    printed, summary = capsys.readouterr().out, json.loads((tmp_path / "summary.json").read_text())
    assert summary["mode"] == "generative"
    proposed, with_truth = (summary["candidates"][pool] for pool in ("choice", "choice_with_truth"))
    dataset = ReasonSegDataset(DATA, "val")
    there = [turn for sample in dataset for turn in sample.turns[:1] if turn.targets[0].mask.any()]
    assert proposed["n"] == with_truth["n"] == len(there) and proposed["candidates"] == 4
    shapes = np.mean([len(turn.targets[0].parts) or 1 for turn in there])
    assert 4 < with_truth["candidates"] <= 4 + shapes
    for scores in (proposed, with_truth):
        assert all(0 <= scores[name] <= 1 for name in ("precision", "recall", "f1", "accuracy"))
        assert scores["random"]["accuracy"] == 0.5
        assert set(scores["polygons"]) == {"ciou", "mean_iou", "generalized_iou"}
    assert summary["proposal_oracle"]["best_union"]["giou"] >= summary["overall"]["giou"] - 1e-9
    page = (tmp_path / "report.html").read_text()
    for words in ("truth among them", "generalized IoU", "best union (greedy)"):
        assert words in page and words in printed
    assert main(arguments) == 0  # rows are read back
    assert json.loads((tmp_path / "summary.json").read_text()) == summary


def test_choices_of_golden_answers(golden):
    """Precision and recall by hand, for the candidates that the official code chose."""
    name, case = next(
        (name, case)
        for name, case in golden.json("generate")["cases"].items()
        if len(case["chosen_tokens_0based"]) > 1 and case["kwargs"]["n_beams"] == 1
        and case["kwargs"]["repetition_penalty"] == 1
    )  # fmt: skip
    image, proposals = golden.image(case["image"]), golden.proposals(case["image"], case["K"])
    frame = golden.lisa.encode(image, proposals)
    first, second = case["chosen_tokens_0based"][:2]
    truth = np.zeros(image.shape[:2], bool)
    rows, columns = (np.arange(size) * 1024 // size for size in truth.shape)
    truth |= proposals.masks[first][np.ix_(rows, columns)]
    turn = Turn(case["query"], (TruthTarget("x", truth),), "", is_sentence=True)
    predictor = Generative(golden.lisa, case["kwargs"]["max_new_tokens"])
    found = candidate_answers(predictor, Sample(image, (turn,)), frame, turn, predictor(frame, turn))
    answer = found["choice"]
    assert set(answer.chosen) == set(case["chosen_tokens_0based"]) and answer.pool == case["K"], name
    assert answer.right == (first,) and second not in answer.right
    assert answer.scores.recall == 1 and answer.scores.precision == 1 / len(answer.chosen)
    assert 0 < answer.overlap.iou < 1 and answer.overlap.generalized_iou <= answer.overlap.iou
    assert found["choice_with_truth"].right == (0,)
    assert CandidateAnswer.from_dict(json.loads(json.dumps(vars(answer)))) == answer


def test_a_question_that_is_refused_chooses_nothing(golden, masks_json):
    from lisa_ros.datasets.proposal_files import StoredProposals, WithProposals

    sample = WithProposals(ReasonSegDataset(DATA, "val"), StoredProposals(masks_json))[0]
    wrong = replace(sample.turns[0], question="a <SEG_MASK_1>")
    (row,) = score_sample(replace(sample, turns=(wrong,)), "x", Generative(golden.lisa, 3))
    assert row.error and row.choice.chosen == () == row.choice_with_truth.chosen and row.choice.scores.f1 == 0


def test_other_proposals_make_another_model(golden):
    options = [{}, {"proposal_options": {"limit": 3}}]
    digests = [model_digest(Lisa.from_pretrained(golden.directory, device="cpu", **one)) for one in options]
    assert digests[0] != digests[1] and digests[0] == model_digest(golden.corrected)


def test_a_turn_without_a_target_has_no_choice(golden):
    image, proposals = golden.image("images/img0.png"), golden.proposals("images/img0.png", 2)
    turn = Turn("Which box?", (TruthTarget("x", None),), "", is_sentence=True)
    predictor, frame = Generative(golden.lisa, 3), golden.lisa.encode(image, proposals)
    assert candidate_answers(predictor, Sample(image, (turn,)), frame, turn, predictor(frame, turn)) == {}
    oracle = ProposalOracle()
    oracle.add(frame, None)
    assert oracle.scores["best_single"]["n"] == 1 and oracle.scores["proposals"] == 2


def test_rows_of_an_earlier_run_are_read_back(golden, masks_json, tmp_path):
    from lisa_ros.datasets.proposal_files import StoredProposals, WithProposals

    dataset = WithProposals(ReasonSegDataset(DATA, "val"), StoredProposals(masks_json))
    predictor = Generative(golden.lisa, 3)
    first = evaluate(dataset, predictor, "reasonseg", tmp_path, first_wording=True, limit=2)
    again = evaluate(dataset, predictor, "reasonseg", tmp_path, first_wording=True, limit=2)
    assert again.rows == first.rows and any(row.choice for row in again.rows)
