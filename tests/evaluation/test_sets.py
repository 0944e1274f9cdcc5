"""Scores on ReasonSeg and refCOCO: equal to the official validation, whole when resumed or shared out."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from lisa_ros import Lisa
from lisa_ros.commands.evaluate_sets import open_dataset
from lisa_ros.errors import ConfigurationError, DatasetError
from lisa_ros.evaluation import run as run_module
from lisa_ros.evaluation.benchmark_report import write_benchmark
from lisa_ros.evaluation.predictors import Generative, TeacherForced
from lisa_ros.evaluation.published import published_rows
from lisa_ros.evaluation.rows import read_all
from lisa_ros.evaluation.run import Shard, evaluate
from lisa_ros.evaluation.summary import already_seen, summarise

pytestmark = pytest.mark.unit

GOLDEN = Path(__file__).parents[1] / "golden"
TINY, DATA = GOLDEN / "c_tiny", GOLDEN / "datasets"


@pytest.fixture(scope="module")
def lisa():
    sam = json.loads((TINY / "oracle_meta.json").read_text())["sam"]
    return Lisa.from_pretrained(TINY / "lisa_hf", vision_tower=TINY / "clip_tiny", device="cpu", sam=sam)


def summary_of(directory, bad=None):
    identity, rows = read_all(directory)
    return summarise(identity, rows, bad or {}), rows


@pytest.mark.parametrize(("name", "official"), [("reasonseg", "reasonseg"), ("refcoco", "refcoco")])
def test_teacher_forced_scores_equal_the_official_validation(lisa, name, official, tmp_path):
    dataset = open_dataset(name, DATA, "val")
    outcome = evaluate(dataset, TeacherForced(lisa), name, tmp_path, first_wording=name == "reasonseg")
    assert not outcome.bad
    summary, rows = summary_of(tmp_path)
    expected = json.loads((TINY / "golden" / "validate.json").read_text())[official]
    assert summary["overall"]["giou"] == pytest.approx(expected["giou"], abs=1e-4)
    assert summary["overall"]["ciou"] == pytest.approx(expected["ciou"], abs=1e-4)
    assert summary["overall"]["n"] == sum(len(sample["conversations"]) for sample in expected["samples"])
    assert summary["short"]["n"] + summary["long"]["n"] == len(rows)


def test_masks_equal_the_official_ones(lisa):
    arrays = np.load(TINY / "golden" / "validate.npz")
    dataset, predictor = open_dataset("reasonseg", DATA, "val"), TeacherForced(lisa)
    for index in range(len(dataset)):
        sample = dataset[index]
        result = predictor(lisa.encode(sample.image), sample.turns[0])
        expected = arrays[f"reasonseg/{index}/pred_masks"][0]
        np.testing.assert_allclose(result.targets[0].logits, expected, atol=max(1e-4, 2e-5 * np.abs(expected).max()))
        truth = run_module.union_truth(sample.turns[0], sample.ignore)
        np.testing.assert_array_equal(truth, arrays[f"reasonseg/{index}/gt_masks"][0])


def rows_without_times(directory):
    return [dataclasses.replace(row, seconds=0.0) for row in read_all(directory)[1]]


def test_shards_together_are_the_whole(lisa, tmp_path):
    dataset = open_dataset("reasonseg", DATA, "val")
    evaluate(dataset, TeacherForced(lisa), "reasonseg", tmp_path / "whole")
    for index in range(3):
        evaluate(dataset, TeacherForced(lisa), "reasonseg", tmp_path / "parts", shard=Shard(index, 3))
    assert rows_without_times(tmp_path / "whole") == rows_without_times(tmp_path / "parts")


def test_a_second_run_asks_only_what_is_missing(lisa, tmp_path):
    dataset = open_dataset("reasonseg", DATA, "val")
    first = evaluate(dataset, TeacherForced(lisa), "reasonseg", tmp_path, limit=2)
    second = evaluate(dataset, TeacherForced(lisa), "reasonseg", tmp_path)
    third = evaluate(dataset, TeacherForced(lisa), "reasonseg", tmp_path)
    assert first.asked > 0 and second.asked > 0 and third.asked == 0
    assert len(read_all(tmp_path)[1]) == first.asked + second.asked
    with pytest.raises(ConfigurationError, match="another --out"):
        evaluate(dataset, Generative(lisa), "reasonseg", tmp_path)


class Broken:
    """A data set one of whose samples cannot be read."""

    source = "reason_seg/val"

    def __init__(self):
        self.whole = open_dataset("reasonseg", DATA, "val")

    def __len__(self):
        return len(self.whole)

    def key(self, index):
        return self.whole.key(index)

    def __getitem__(self, index):
        if index == 1:
            raise DatasetError("v1.json is damaged")
        return self.whole[index]


def test_a_bad_sample_is_reported_and_in_no_score(lisa, tmp_path):
    outcome = evaluate(Broken(), TeacherForced(lisa), "reasonseg", tmp_path)
    assert outcome.bad == {"v1": "v1.json is damaged"}
    summary, rows = summary_of(tmp_path, outcome.bad)
    assert summary["bad_samples"] == outcome.bad and "v1" not in {row.key for row in rows}


def test_a_query_that_cannot_be_asked_counts_as_a_failure(lisa, tmp_path):
    dataset = open_dataset("reasonseg", DATA, "val")
    sample = dataset[0]
    forged = dataclasses.replace(sample.turns[0], question="cut </s> this")
    (row,) = run_module.score_sample(dataclasses.replace(sample, turns=(forged,)), "v0", TeacherForced(lisa))
    assert "reserved" in row.error and row.iou == 0 and row.present and not row.found


def test_report_of_both_modes(lisa, tmp_path):
    dataset = open_dataset("reasonseg", DATA, "val")
    for predictor in (TeacherForced(lisa), Generative(lisa)):
        directory = tmp_path / predictor.mode
        directory.mkdir()
        outcome = evaluate(dataset, predictor, "reasonseg", directory)
        summary, rows = summary_of(directory, outcome.bad)
        write_benchmark(directory, summary, rows, dataset, predictor)
        page = (directory / "report.html").read_text()
        assert "published: arXiv 2308.00692" in page and "52.9" in page
        assert json.loads((directory / "summary.json").read_text())["mode"] == predictor.mode
        assert page.count("data:image/jpeg") == len([row for row in rows if row.present])


@pytest.mark.parametrize(
    ("model", "benchmark", "split", "warned"),
    [
        ("xinlai/LISA-7B-v1 bf16 llava_v1", "reasonseg", "val", True),
        ("LISA-13B-llama2-v1-explanatory nf4 llava_v1", "reasonseg", "val", True),
        ("LISA-7B-v1 bf16 llava_v1", "reasonseg", "test", False),
        ("LISA-13B-llama2-v0 bf16 llava_v1", "reasonseg", "val", False),
        ("LISA-7B-v1 bf16 llava_v1", "refcoco", "val", False),
    ],
)
def test_contaminated_splits_are_told(model, benchmark, split, warned):
    assert (already_seen(model, benchmark, split) is not None) == warned


def test_published_rows_are_of_the_split():
    assert published_rows("reasonseg", "test")[1] == ("LISA-7B (fine-tuned)", 47.3, 48.4)
    assert published_rows("refcoco", "testA")[0].ciou == 76.5
    assert published_rows("tabletop", "heldout") == ()
