"""Scores on ReasonSeg and refCOCO: equal to the official validation, whole when resumed, killed or shared out."""

import dataclasses
import json
import shutil
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from golden_variants import find_golden

from lisa_ros import Lisa
from lisa_ros.commands.evaluate_sets import open_dataset
from lisa_ros.errors import ConfigurationError, DatasetError, MemoryBudgetError
from lisa_ros.evaluation.benchmarks import evaluate_dataset as run_module
from lisa_ros.evaluation.benchmarks.evaluate_dataset import Shard, evaluate
from lisa_ros.evaluation.benchmarks.published import published_rows
from lisa_ros.evaluation.benchmarks.rows import read_all
from lisa_ros.evaluation.benchmarks.scores import already_seen, scores, summarise
from lisa_ros.evaluation.metrics import overlap_of, union_truth
from lisa_ros.evaluation.predictors import Generative, TeacherForced, model_digest, weights_digest
from lisa_ros.model.tokenizer import LisaTokenizer
from lisa_ros.types import TruthTarget, Turn

pytestmark = pytest.mark.unit

GOLDEN = Path(__file__).parents[1] / "golden"
TINY, DATA = GOLDEN / "c_tiny", GOLDEN / "datasets"
OFFICIAL = json.loads((TINY / "golden" / "validate.json").read_text())


def load(folder):
    sam = json.loads((folder / "oracle_meta.json").read_text())["sam"]
    return Lisa.from_pretrained(folder / "lisa_hf", vision_tower=folder / "clip_tiny", device="cpu", sam=sam)


@pytest.fixture(scope="module")
def lisa():
    return load(TINY)


@pytest.fixture(scope="module")
def reasonseg():
    return open_dataset("reasonseg", DATA, "val")


@pytest.fixture(scope="module")
def whole(lisa, reasonseg, tmp_path_factory):
    """Rows of one undisturbed run."""
    return evaluate(reasonseg, TeacherForced(lisa), "reasonseg", tmp_path_factory.mktemp("whole"), first_wording=True)


def without_times(log):
    return dataclasses.replace(log, end=0, rows=[dataclasses.replace(r, seconds=0.0, encoding=0.0) for r in log.rows])


def check_scores(log, expected):
    overall = summarise(log)["overall"]
    assert overall["giou"] == pytest.approx(expected["giou"], abs=1e-4)
    assert overall["ciou"] == pytest.approx(expected["ciou"], abs=1e-4)
    assert overall["n"] == sum(len(sample["conversations"]) for sample in expected["samples"])


def check_questions_and_masks(lisa, name, dataset, wordings):
    arrays, template = np.load(TINY / "golden" / "validate.npz"), lisa.model.template
    for index, official in enumerate(OFFICIAL[name]["samples"]):
        sample = dataset[index]
        frame = lisa.encode(sample.image)
        for number, (turn, asked) in enumerate(zip(sample.turns[:wordings], official["conversations"], strict=True)):
            words = lisa.network.config.mask_query["sentence" if turn.is_sentence else "phrase"]
            question = lisa.model.first_question(words.replace("{text}", turn.question))
            ours = lisa.tokenizer.encode_prompt(template.render([(question, "[SEG].")]))
            assert ours == lisa.tokenizer.encode_prompt(asked)
            expected = arrays[f"{name}/{index}/pred_masks"][number]
            logits = TeacherForced(lisa)(frame, turn).targets[0].logits
            np.testing.assert_allclose(logits, expected, atol=max(1e-4, 2e-5 * np.abs(expected).max()))
            truth = union_truth(turn, sample.ignore)
            np.testing.assert_array_equal(truth, arrays[f"{name}/{index}/gt_masks"][number])


def test_reasonseg_equals_the_official_validation(lisa, reasonseg, whole):
    check_scores(whole, OFFICIAL["reasonseg"])
    check_questions_and_masks(lisa, "reasonseg", reasonseg, 1)
    summary = summarise(whole)
    assert summary["short"]["n"] + summary["long"]["n"] == len(whole.rows) and not whole.bad


def test_refcoco_equals_the_official_validation(lisa, tmp_path):
    dataset = open_dataset("refcoco", DATA, "val")
    check_scores(evaluate(dataset, TeacherForced(lisa), "refcoco", tmp_path), OFFICIAL["refcoco"])
    check_questions_and_masks(lisa, "refcoco", dataset, None)


def test_all_golden_checkpoints_equal_the_official_validation(golden, tmp_path):
    folders = [folder for folder in find_golden(None) if folder.name != TINY.name]
    if not folders:
        pytest.skip(f"no further golden data in {golden}")
    for folder in folders:
        predictor, official = TeacherForced(load(folder)), json.loads((folder / "golden/validate.json").read_text())
        for name in ("reasonseg", "refcoco"):
            dataset, out = open_dataset(name, golden / "datasets", "val"), tmp_path / folder.name / name
            log = evaluate(dataset, predictor, name, out, first_wording=name == "reasonseg")
            check_scores(log, official[name])


def test_refcoco_plus_is_scored(lisa, tmp_path):
    dataset = open_dataset("refcoco+", DATA, "testA")
    log = evaluate(dataset, TeacherForced(lisa), "refcoco+", tmp_path)
    assert not log.bad and len(log.rows) == sum(len(dataset[i].turns) for i in range(len(dataset)))


def test_grefcoco_counts_what_is_not_there(lisa, tmp_path):
    """One thing, two things, nothing, in a picture of the miniature refCOCO."""
    folder = tmp_path / "refer_seg" / "grefcoco"
    shutil.copytree(DATA / "refer_seg" / "refcoco", folder)
    (folder.parent / "images").symlink_to(DATA / "refer_seg" / "images")
    asked = {"Dog": [21], "both": [21, 22], "a unicorn": [-1]}
    references = [
        {"image_id": 1, "split": "val", "ann_id": ids, "sentences": [{"sent": text}]} for text, ids in asked.items()
    ]
    (folder / "grefs(unc).json").write_text(json.dumps(references))
    log = evaluate(open_dataset("grefcoco", tmp_path, "val"), TeacherForced(lisa), "grefcoco", tmp_path / "out")
    assert [row.present for row in log.rows] == [True, True, False]
    found = scores(log.rows)
    unicorn = log.rows[-1]
    assert found["n_acc"] == (not unicorn.found) and found["t_acc"] == np.mean([row.found for row in log.rows[:2]])
    assert found["giou"] == pytest.approx(np.mean([row.iou for row in log.rows]), abs=1e-5)
    assert unicorn.union == 0 if not unicorn.found else unicorn.iou == 0


def test_shards_together_are_the_whole(lisa, reasonseg, whole, tmp_path):
    for index in range(3):
        log = evaluate(reasonseg, TeacherForced(lisa), "reasonseg", tmp_path, shard=Shard(index, 3), first_wording=True)
    assert without_times(log) == without_times(whole)


class Killed(BaseException):
    pass


class Interrupted(TeacherForced):
    """Is killed at the second question."""

    asked = 0

    def __call__(self, frame, turn):
        self.asked += 1
        if self.asked == 2:
            raise Killed
        return super().__call__(frame, turn)


def test_a_killed_run_goes_on_to_the_same_scores(lisa, reasonseg, whole, tmp_path):
    with pytest.raises(Killed):
        evaluate(reasonseg, Interrupted(lisa), "reasonseg", tmp_path, first_wording=True)
    with (tmp_path / "rows.jsonl").open("ab") as file:
        file.write(b'{"key": "v1", "tu')
    assert len(read_all(tmp_path).rows) == 1
    # on with another number of processes: what is done is not asked again
    for index in range(2):
        log = evaluate(reasonseg, TeacherForced(lisa), "reasonseg", tmp_path, shard=Shard(index, 2), first_wording=True)
    assert without_times(log) == without_times(whole)
    lines = [line for path in tmp_path.glob("rows-*") for line in path.read_text().splitlines() if '"end"' in line]
    assert len(lines) == len(whole.rows) - 1


class Faulty:
    """A data set one of whose samples is bad."""

    source = "reason_seg/val"

    def __init__(self, whole, error):
        self.whole, self.error = whole, error

    def __len__(self):
        return len(self.whole)

    def key(self, index):
        return self.whole.key(index)

    def __getitem__(self, index):
        if index == 1:
            raise self.error
        return self.whole[index]


@pytest.mark.parametrize("error", [DatasetError("v1.json is damaged"), MemoryBudgetError("too large")])
def test_a_bad_sample_is_reported_and_in_no_score(lisa, reasonseg, whole, tmp_path, error):
    log = evaluate(Faulty(reasonseg, error), TeacherForced(lisa), "reasonseg", tmp_path, first_wording=True)
    assert log.bad == {"v1": str(error)} == summarise(log)["bad_samples"]
    assert {row.key for row in log.rows} == {row.key for row in whole.rows} - {"v1"}
    repaired = evaluate(reasonseg, TeacherForced(lisa), "reasonseg", tmp_path, first_wording=True)
    assert without_times(repaired) == without_times(whole)


class OneByOne(TeacherForced):
    """Asks each question alone."""

    together = None


def test_questions_about_one_frame_are_asked_together_with_equal_scores(lisa, tmp_path, monkeypatch):
    """All but those of pictures with a single question; of those that cannot be asked, each is told alone."""
    dataset = open_dataset("refcoco", DATA, "val")
    turns = [len(dataset[index].turns) for index in range(len(dataset))]
    alone = evaluate(dataset, OneByOne(lisa), "refcoco", tmp_path / "alone")
    batches = []
    counted = TeacherForced.together
    monkeypatch.setattr(TeacherForced, "together", lambda *args: (batches.append(len(args[2])), counted(*args))[1])
    together = evaluate(dataset, TeacherForced(lisa), "refcoco", tmp_path / "together")
    assert without_times(together) == without_times(alone)
    assert sum(batches) == sum(count for count in turns if count > 1) > 1

    sample = next(dataset[index] for index, count in enumerate(turns) if count > 1)
    forged = dataclasses.replace(sample.turns[0], question="cut </s> this")
    mixed = dataclasses.replace(sample, turns=(forged, *sample.turns[1:]))
    rows = list(run_module.score_sample(mixed, "v0", TeacherForced(lisa)))
    assert "reserved" in rows[0].error and not any(row.error for row in rows[1:])
    known = [row for row in alone.rows if row.text in {turn.question for turn in sample.turns[1:]}]
    assert {row.iou for row in rows[1:]} <= {row.iou for row in known}


def test_a_batch_that_does_not_fit_is_asked_one_by_one(lisa, tmp_path, monkeypatch):
    dataset = open_dataset("refcoco", DATA, "val")
    expected = evaluate(dataset, OneByOne(lisa), "refcoco", tmp_path / "alone")
    monkeypatch.setattr(TeacherForced, "together", mock.Mock(side_effect=MemoryBudgetError("too large")))
    assert without_times(evaluate(dataset, TeacherForced(lisa), "refcoco", tmp_path)) == without_times(expected)


def test_a_query_that_cannot_be_asked_counts_as_a_failure(lisa, reasonseg):
    sample = reasonseg[0]
    forged = dataclasses.replace(sample.turns[0], question="cut </s> this")
    (row,) = run_module.score_sample(dataclasses.replace(sample, turns=(forged,)), "v0", TeacherForced(lisa))
    assert "reserved" in row.error and row.iou == 0 and row.present and not row.found
    assert scores([row])["format_failures"] == scores([row])["empty"] == 1


def test_generated_answers_are_in_the_rows(lisa, reasonseg, tmp_path):
    log = evaluate(reasonseg, Generative(lisa, 4), "reasonseg", tmp_path, limit=2)
    assert {row.key for row in log.rows} == {reasonseg.key(0), reasonseg.key(1)}
    assert any(row.answer for row in log.rows) and log.identity.max_new_tokens == 4
    assert all(row.truncated for row in log.rows) and scores(log.rows)["format_failures"] == 1
    with pytest.raises(ConfigurationError, match="mode"):
        evaluate(reasonseg, TeacherForced(lisa), "reasonseg", tmp_path)


def test_checkpoints_are_told_apart_by_what_they_learnt(lisa):
    before = weights_digest(lisa.network)
    assert before == weights_digest(lisa.network)
    weight = next(lisa.network.parameters())
    weight.data.neg_()
    assert weights_digest(lisa.network) != before
    weight.data.neg_()
    assert weights_digest(lisa.network) == before
    tower = dataclasses.replace(lisa.network.config, vision_tower="/another/place")
    refusing = dataclasses.replace(lisa.network.config, seg_threshold=0.5)
    with mock.patch.object(lisa.network, "config", tower):
        assert weights_digest(lisa.network) == before
    with mock.patch.object(lisa.network, "config", refusing):
        assert weights_digest(lisa.network) != before


def test_models_are_told_apart_by_what_they_are_fed_with(lisa):
    before = model_digest(lisa)
    assert before == model_digest(lisa)
    tokenizer = LisaTokenizer(lisa.tokenizer.model_bytes, [], lisa.tokenizer.added)
    with mock.patch.object(lisa.model, "tokenizer", tokenizer):
        assert model_digest(lisa) != before, "its special tokens are others"
    tower = lisa.network.vision_tower
    with mock.patch.object(tower, "preprocess", dataclasses.replace(tower.preprocess, mean=(0.5, 0.5, 0.5))):
        assert model_digest(lisa) != before
    assert model_digest(lisa) == before


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.int8])
def test_one_number_makes_another_checkpoint(dtype):
    network = torch.nn.Module()
    network.weight = torch.nn.Parameter((torch.arange(1001 * 33) % 100).reshape(1001, 33).to(dtype), False)
    before = weights_digest(network)
    for place in ((0, 1), (517, 21), (1000, 32)):
        value = network.weight[place].clone()
        network.weight[place] = 101
        assert weights_digest(network) != before
        network.weight[place] = value
    assert weights_digest(network) == before


def test_only_the_pictures_whose_annotation_has_changed_are_asked_again(lisa, tmp_path):
    """Of a set whose annotations are all in one file, and of one that is made, not read."""
    shutil.copytree(DATA / "refer_seg", tmp_path / "refer_seg")
    instances = tmp_path / "refer_seg" / "refcoco" / "instances.json"

    def log():
        return evaluate(open_dataset("refcoco", tmp_path, "train"), TeacherForced(lisa), "refcoco", tmp_path / "out")

    before = log()
    assert len(before.by_key) > 1
    content = json.loads(instances.read_text())
    content["info"] = "a new date"
    row = next(row for row in content["annotations"] if row["id"] == 21)
    row["segmentation"] = [[0, 0, 30, 0, 30, 30, 0, 30]]
    instances.write_text(json.dumps(content))
    after = log()
    image = {one["id"]: one["file_name"] for one in content["images"]}[row["image_id"]]
    assert after.changed == (Path(image).stem,)
    for key, rows in before.by_key.items():
        assert (after.by_key[key] == rows) == (key not in after.changed)
    assert log().changed == ()


def test_a_set_without_digests_of_its_own_is_read(lisa, reasonseg, whole, tmp_path):
    def ask(dataset):
        return evaluate(dataset, TeacherForced(lisa), "reasonseg", tmp_path, first_wording=True)

    names = [reasonseg.key(index) for index in range(len(reasonseg))]
    ask(Named(reasonseg, names))
    written = (tmp_path / "rows.jsonl").read_bytes()
    assert ask(Named(reasonseg, names)).changed == () and (tmp_path / "rows.jsonl").read_bytes() == written

    class Otherwise(Named):
        def __getitem__(self, index):
            sample = super().__getitem__(index)
            return dataclasses.replace(sample, ignore=~sample.ignore) if index == 2 else sample

    assert ask(Otherwise(reasonseg, names)).changed == ("v2",)


def test_ignored_pixels_do_not_count_for_an_absent_target_either():
    ignore = np.zeros((2, 2), bool)
    ignore[0] = True
    absent = Turn("the mug", (TruthTarget("mug", None),), "")
    assert union_truth(absent) is None
    assert overlap_of(ignore, union_truth(absent, ignore)).iou == 1
    assert overlap_of(~ignore, union_truth(absent, ignore)).iou == 0


def test_shards_are_within_their_number():
    for index, count in ((2, 2), (-1, 2), (0, 0)):
        with pytest.raises(ConfigurationError, match="shard"):
            Shard(index, count)


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
    assert published_rows("reasonseg", "test")[1] == ("LISA-7B (ft)", "", 47.3, 48.4)
    assert ("LISA-13B-LLaVA1.5 (ft)", "long", 63.2, 65.3) in published_rows("reasonseg", "test")
    assert {row.part for row in published_rows("reasonseg", "val")} == {""}
    assert published_rows("refcoco", "testA") == (("LISA-7B", "", None, 76.5), ("LISA-7B (ft)", "", None, 79.1))
    assert published_rows("tabletop", "heldout") == published_rows("refcoco", "train") == ()


class Named:
    """A data set whose samples are called otherwise."""

    source = "reason_seg/val"

    def __init__(self, whole, names):
        self.whole, self.names = whole, names

    def __len__(self):
        return len(self.whole)

    def key(self, index):
        return self.names[index]

    def __getitem__(self, index):
        return self.whole[index]


def test_samples_that_share_a_name_are_told(lisa, reasonseg, tmp_path):
    with pytest.raises(DatasetError, match="1 names in reason_seg/val stand for several samples each, as 'v0'"):
        evaluate(Named(reasonseg, ["v0", "v0", "v2", "v3"]), TeacherForced(lisa), "reasonseg", tmp_path)
    assert not list(tmp_path.iterdir())


def test_scores_of_samples_that_the_set_has_no_more_are_not_mixed_in(lisa, reasonseg, tmp_path):
    evaluate(reasonseg, TeacherForced(lisa), "reasonseg", tmp_path, first_wording=True, limit=1)
    with pytest.raises(ConfigurationError, match="rows of 1 samples that reason_seg/val lacks now, as v0: choose"):
        evaluate(Named(reasonseg, ["w0", "v1", "v2", "v3"]), TeacherForced(lisa), "reasonseg", tmp_path)
