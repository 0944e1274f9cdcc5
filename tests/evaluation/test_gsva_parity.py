"""GSVA's scores equal its official code: hand-made decisions and masks, and its whole evaluation of small data sets."""

import numpy as np
import pytest
from golden_variants import GsvaVariant, find_golden, turns_of

from lisa_ros.datasets.reasonseg import ReasonSegDataset
from lisa_ros.datasets.refer import ReferDataset
from lisa_ros.evaluation.benchmarks.phrase_metrics import PhraseMetrics
from lisa_ros.evaluation.benchmarks.phrases import ask_phrases, evaluate_phrases
from lisa_ros.evaluation.metrics import SegmentationMetrics, union_truth
from lisa_ros.evaluation.predictors import TeacherForced

VARIANTS = [GsvaVariant(directory) for directory in find_golden("gsva")]
pytestmark = [pytest.mark.unit, pytest.mark.parametrize("gsva", VARIANTS, ids=lambda one: one.directory.name)]
CLOSE = {"abs": 1e-6, "rel": 0}


def hand_made(golden, names, counts_false_positives=True) -> PhraseMetrics:
    metrics = PhraseMetrics(counts_false_positives)
    for name in names:
        case = golden["cases"][name]
        truth = np.array(case["gt"], np.uint8)
        assert (not (truth > 0).any()) == case["gt_empty"]
        metrics.add(np.array(case["logits"], np.float32), truth, case["decision"] == "REJ")
    return metrics


@pytest.mark.parametrize("rule", ["eval_gres_grefcoco", "eval_gres_refzom", "validate_refcoco"])
def test_parity_of_metrics(gsva, rule):
    golden = gsva.json("metrics")
    compared = 0
    for name, expected in golden[rule].items():
        names = [case for image in golden["sets"][name] for case in image]
        metrics = hand_made(golden, names, counts_false_positives=rule == "eval_gres_grefcoco")
        if rule == "validate_refcoco":
            assert metrics.masks.giou == pytest.approx(expected["giou"], **CLOSE), name
            assert metrics.masks.ciou == pytest.approx(expected["ciou"], **CLOSE), name
            compared += 1
            continue
        if "meters" in expected:
            meters, foreground = expected["meters"], lambda value: value[1] if isinstance(value, list) else value
            assert metrics.iou_sum == pytest.approx(foreground(meters["gIoU"]["sum"]), abs=1e-5), name
            assert metrics.intersection == foreground(meters["Intersec"]["sum"]), name
            assert metrics.union == foreground(meters["Union"]["sum"]), name
            counts = metrics.rejected, metrics.present - metrics.falsely_rejected, metrics.falsely_rejected
            assert counts == tuple(meters[key]["sum"] for key in ("NT_TP", "NT_TN", "NT_FP")), name
            assert metrics.absent - metrics.rejected == meters["NT_FN"]["sum"], name
            compared += 1
        if "error" in expected:  # a class of phrases is missing: the official code divides by zero
            assert np.isnan(metrics.n_acc) or np.isnan(metrics.t_acc), name
        else:
            for key in ("giou", "ciou", "n_acc", "t_acc"):
                assert getattr(metrics, key) == pytest.approx(expected[key], **CLOSE), (name, key)
    assert compared >= 5


def test_parity_of_the_evaluation_of_grefcoco(gsva):
    """Data, prompts, both passes, decisions and scores, end to end."""
    official, compared = gsva.json("validate"), 0
    for name, expected in official.items():
        if not name.startswith("grefcoco|"):
            continue
        dataset = ReferDataset(gsva.directory / "datasets", "grefcoco", name.split("|")[-1])
        metrics, bad = evaluate_phrases(gsva.lisa, dataset)
        assert not bad and metrics.phrases == expected["n_items"]
        for key in ("giou", "ciou", "n_acc", "t_acc"):
            assert getattr(metrics, key) == pytest.approx(expected[key], **CLOSE), (name, key)
        compared += 1
    assert compared


def test_parity_of_the_validation_of_refcoco(gsva):
    """One pass, the decision ignored, LISA's rule."""
    official = {name: scores for name, scores in gsva.json("validate").items() if name.startswith("refcoco")}
    assert official
    for name, expected in official.items():
        dataset, _, split = name.split("|")
        metrics, bad = evaluate_phrases(gsva.lisa, ReferDataset(gsva.directory / "datasets", dataset, split))
        assert not bad
        assert metrics.masks.giou == pytest.approx(expected["giou"], **CLOSE), name
        assert metrics.masks.ciou == pytest.approx(expected["ciou"], **CLOSE), name


def test_parity_of_the_validation_of_reasonseg(gsva):
    """Equal where what is to be ignored counts as target, as in the official code; ours leaves it out."""
    expected = gsva.json("validate")["ReasonSeg|val"]
    dataset = ReasonSegDataset(gsva.directory / "datasets", "val")
    official, ours = SegmentationMetrics(), SegmentationMetrics()
    for index in range(len(dataset)):
        sample = dataset[index]
        turn = sample.turns[0]
        mask = TeacherForced(gsva.lisa)(gsva.lisa.encode(sample.image), turn).targets[0].mask
        truth = union_truth(turn)
        assert (
            truth.sum() + (0 if sample.ignore is None else (sample.ignore & ~truth).sum())
            == (expected["gt_areas"][index][0])
        )
        official.add(mask, truth if sample.ignore is None else truth | sample.ignore)
        ours.add(mask, union_truth(turn, sample.ignore))
    assert official.giou == pytest.approx(expected["giou"], **CLOSE)
    assert official.ciou == pytest.approx(expected["ciou"], **CLOSE)
    assert ours.queries == official.queries


def test_parity_of_true_masks(gsva):
    """The masks that the official loaders made of the same files, and the sizes beside them."""
    compared, arrays = 0, gsva.arrays("forward")
    for case in gsva.json("forward"):
        if case.get("dataset") is None:  # made by hand
            continue
        name, split, index = case["dataset"].split("|")[0], case["dataset"].split("|")[-1], case["dataset_index"]
        if name == "ReasonSeg":
            sample = ReasonSegDataset(gsva.directory / "datasets", split)[index]
            truths = [union_truth(sample.turns[0])]
            truths = [truth if sample.ignore is None else truth | sample.ignore for truth in truths]
        else:
            sample = ReferDataset(gsva.directory / "datasets", name, split)[index]
            truths = [union_truth(turn) for turn in sample.turns]
        empty = np.zeros(sample.image.shape[:2], bool)
        masks = [empty if truth is None else truth for truth in truths]
        np.testing.assert_array_equal(masks, arrays[f"{case['case']}/gt_masks"] > 0, err_msg=case["case"])
        assert arrays[f"{case['case']}/original"].tolist() == [*sample.image.shape[:2]]
        compared += 1
    assert compared >= 5


def test_parity_of_validation_prompts(gsva):
    """The questions and expected answers of a data set's pictures are those of the official code."""
    style, wordings = gsva.lisa.model.style, gsva.lisa.network.config.mask_query
    compared = 0
    for case in gsva.json("prompts")["prompts"]:
        if case["form"] != "val":
            continue
        ((question, answer),) = turns_of(case["conversation"])
        parts = case["source"].removeprefix("ValDataset ").split("|")
        if parts[0] == "ReasonSeg":
            turn = ReasonSegDataset(gsva.directory / "datasets", parts[1])[case["dataset_index"]].turns[0]
            prompt = style.turn_prompt(turn.question, wordings, sentence=turn.is_sentence)
        else:
            sample = ReferDataset(gsva.directory / "datasets", parts[0], parts[2])[case["dataset_index"]]
            truths = [union_truth(turn) for turn in sample.turns]
            areas = [0 if truth is None else int(truth.sum()) for truth in truths]
            assert areas == case["gt_areas"], case["name"]
            present = [truth is not None and bool(truth.any()) for truth in truths]
            phrases = [turn.question for turn in sample.turns]
            (prompt,) = style.query_prompts(phrases, wordings, present=present)
        assert (prompt.question, prompt.answer) == (question, answer), case["name"]
        compared += 1
    assert compared >= 5


def test_the_honest_forms_differ_where_they_should(gsva):
    """A rejected target that is there scores 0; what the model decides or writes itself is scored alike."""
    golden = gsva.json("metrics")
    metrics = hand_made(golden, ["target_rej_mask", "empty_rej_mask", "empty_seg_nomask"])
    assert metrics.honest.iou_sum == pytest.approx(2.0) and metrics.iou_sum > 1.0
    assert metrics.honest.n_acc == 1.0 and metrics.n_acc == 0.5
    dataset = ReferDataset(gsva.directory / "datasets", "grefcoco", "val")
    for mode in ("decided", "generative"):
        found, bad = evaluate_phrases(gsva.lisa, dataset, mode, max_new_tokens=24)
        assert not bad and found.phrases == sum(len(dataset[index].turns) for index in range(len(dataset)))
        assert 0 <= found.honest.giou <= 1
    sample = dataset[0]
    answers = ask_phrases(gsva.lisa, sample, [union_truth(turn) for turn in sample.turns], "decided")
    assert all((answer.logits is None) == answer.rejected for answer in answers)
