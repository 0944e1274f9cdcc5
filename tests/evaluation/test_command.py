"""`lisa-ros eval` on published data sets: files, pages, tables, exit status."""

import json
import re
import shutil
from pathlib import Path

import pytest

from lisa_ros import Lisa
from lisa_ros.cli import main
from lisa_ros.commands.evaluate_sets import open_dataset
from lisa_ros.errors import MemoryBudgetError
from lisa_ros.evaluation.benchmarks.benchmark_report import text_table, warnings, write_benchmark
from lisa_ros.evaluation.benchmarks.evaluate_dataset import SampleDigests, evaluate, read_current
from lisa_ros.evaluation.benchmarks.premises import premise_scores
from lisa_ros.evaluation.benchmarks.rows import EvaluationIdentity, QueryRow, RowLog, read_all
from lisa_ros.evaluation.benchmarks.scores import chosen_examples, summarise
from lisa_ros.evaluation.predictors import TeacherForced

pytestmark = pytest.mark.unit

GOLDEN = Path(__file__).parents[1] / "golden"
TINY, DATA = GOLDEN / "c_tiny", GOLDEN / "datasets"
MODEL = "--model", TINY / "lisa_hf", "--vision-tower", TINY / "clip_tiny", "--device", "cpu"


def run(*arguments) -> int:
    try:
        return main(["eval", *map(str, arguments)])
    except SystemExit as end:
        return end.code


def test_reasonseg_writes_rows_scores_and_a_page(tmp_path, capsys):
    asked = "reasonseg", "--data", DATA, "--split", "val", "--out", tmp_path, *MODEL
    assert run(*asked, "--shard", "0/2") == 0
    assert "scores of a part: 2 of 4" in capsys.readouterr().out
    assert run(*asked, "--shard", "1/2") == 0
    printed = capsys.readouterr().out
    assert "a part" not in printed and "short (phrases)" in printed
    assert re.search(r"published LISA-7B \(ft\) +52\.9 +54\.0", printed) and "arXiv 2308.00692" in printed
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["mode"] == "teacher_forced" and summary["overall"]["images"] == summary["samples"] == 4
    page = (tmp_path / "report.html").read_text()
    assert "published LISA-7B (ft)" in page and page.count("<svg") == 2
    assert page.count("data:image/jpeg") == summary["overall"]["n"]  # so few that all are shown
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("report.html", "rows-00000-of-00002.jsonl", "rows-00001-of-00002.jsonl", "summary.json")
    ]


def test_published_scores_never_stand_in_a_column_of_the_other_mode(tmp_path, capsys):
    asked = "reasonseg", "--data", DATA, "--split", "val", "--out", tmp_path, *MODEL
    assert run(*asked, "--mode", "generative", "--max-new-tokens", 3) == 0
    table, apart = capsys.readouterr().out.split("of the other mode, not to be compared")
    assert "published LISA" not in table
    assert re.search(r"published LISA-7B \(ft\) +gIoU 52\.9  cIoU 54\.0", apart) and "arXiv 2308.00692" in apart
    sections = (tmp_path / "report.html").read_text().split("<section>")
    (published,) = [section for section in sections if "published LISA-7B" in section]
    assert "not to be compared with the above</h2>" in published and "N-acc" not in published


def test_bad_samples_are_told_and_change_the_exit_status(tmp_path, capsys):
    shutil.copytree(DATA / "reason_seg", tmp_path / "data" / "reason_seg")
    (tmp_path / "data" / "reason_seg" / "ReasonSeg" / "val" / "v1.json").write_text("{")
    assert run("reasonseg", "--data", tmp_path / "data", "--out", tmp_path / "out", *MODEL) == 1
    assert "1 samples could not be read" in capsys.readouterr().out
    assert "v1.json" in json.loads((tmp_path / "out" / "summary.json").read_text())["bad_samples"]["v1"]
    assert "v1.json" in (tmp_path / "out" / "report.html").read_text()


def test_tabletop_goes_the_same_way(tmp_path, capsys):
    asked = "tabletop", "--count", 2, "--queries", 3, "--max-new-tokens", 3, "--out", tmp_path, *MODEL
    assert run(*asked, "--json", tmp_path / "scores.json") == 0
    assert "all present" in capsys.readouterr().out
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert json.loads((tmp_path / "summary.json").read_text())["tabletop"]["n"] == scores["n"] == 6
    assert "Words of the answers" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["reasonseg", "--data", "nowhere"], "--model"),
        (["reasonseg", "--data", "nowhere", "--model", "m"], "nowhere"),
        (["reasonseg", "--data", DATA, "--split", "val", "--max-new-tokens", 9, *MODEL], "teacher_forced"),
        (["tabletop", "--shard", "0/2"], "--out"),
        (["refcoco", "--data", DATA, "--split", "testC"], "testC"),
        (["refcoco", "--data", DATA, "--shard", "2/2"], "2/2"),
        (["refcoco", "--data", DATA, "--shard", "some"], "some"),
        (["refcoco"], "--data"),
    ],
)
def test_wrong_arguments_are_told_in_one_line(arguments, told, capsys):
    assert run(*arguments) == 2
    assert told in capsys.readouterr().err.splitlines()[-1]


def rows(ious, present=True):
    return [
        QueryRow(f"{i:03d}", 0, "x", "k", False, round(iou * 100), 100, present, iou > 0) for i, iou in enumerate(ious)
    ]


def log(found, samples=10, **more):
    return RowLog(
        EvaluationIdentity("reasonseg", "reason_seg/val", samples, "LISA-7B-v1 bf16 llava_v1", "0", "generative"),
        found,
        **more,
    )


def test_readers_are_warned():
    seen, bad, part = warnings(summarise(log(rows([0.5]), bad={f"b{i}": "damaged" for i in range(7)})))
    assert "contaminated" in seen
    assert bad.startswith("7 samples") and "b4: damaged; and 2 more" in bad
    assert "2 of 10" in part


def test_worst_median_and_best_are_shown():
    chosen = chosen_examples(rows([i / 20 for i in range(20)]) + rows([1], present=False))
    assert {name: [row.iou for row in found] for name, found in chosen.items()} == {
        "worst": pytest.approx([0, 0.05, 0.1], abs=1e-6),
        "median": pytest.approx([0.4, 0.45, 0.5], abs=1e-6),
        "best": pytest.approx([0.95, 0.9, 0.85], abs=1e-6),
        "masks of what is not there": pytest.approx([1], abs=1e-6),
    }


def test_nothing_scored_has_a_table():
    assert "gIoU -, cIoU -" in text_table(summarise(log([])))


@pytest.fixture
def data(tmp_path):
    """A data folder of the test's own, with ReasonSeg's validation split in `folder`."""
    folder = tmp_path / "data" / "reason_seg" / "ReasonSeg" / "val"
    shutil.copytree(DATA / "reason_seg" / "ReasonSeg" / "val", folder, copy_function=shutil.copyfile)
    folder.chmod(0o755)  # the original may be read-only
    return folder


def change(path, **values):
    path.write_text(json.dumps(json.loads(path.read_bytes().decode("cp1252")) | values))


@pytest.mark.parametrize("text", ["the [SEG] dog", "x" * 2001])
def test_a_question_that_cannot_be_asked_is_scored_and_shown(data, text, tmp_path, capsys):
    change(data / "v0.json", text=[text])
    assert run("reasonseg", "--data", tmp_path / "data", "--out", tmp_path / "out", *MODEL) == 0
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["overall"]["n"] == 4 and summary["overall"]["format_failures"] == 0.25
    assert (tmp_path / "out" / "report.html").read_text().count("data:image/jpeg") == 4


def test_a_question_with_half_a_character_is_a_bad_sample(data, tmp_path, capsys):
    change(data / "v0.json", text=["half a \ud83d character"])
    assert run("reasonseg", "--data", tmp_path / "data", "--out", tmp_path / "out", *MODEL) == 1
    (reason,) = json.loads((tmp_path / "out" / "summary.json").read_text())["bad_samples"].values()
    assert "v0.json" in reason and "half a character" in reason and (tmp_path / "out" / "report.html").is_file()


def test_what_a_score_depends_on_is_asked_again_when_it_changes(data, tmp_path, capsys):
    """The same command: a question put right, a mask put right, another picture; and one that is gone."""
    asked = "reasonseg", "--data", tmp_path / "data", "--out", tmp_path / "out", *MODEL
    assert run(*asked) == 0
    before = rows_of(tmp_path / "out")
    assert "changed" not in capsys.readouterr().out
    (data / "v0.jpg").write_bytes(b"")
    change(data / "v1.json", text=["something else"])
    change(data / "v2.json", shapes=[{"label": "target", "points": [[0, 0], [9, 0], [9, 9], [0, 9]]}])
    assert run(*asked) == 1
    told = capsys.readouterr().out
    assert "3 samples have changed since they were scored and count no more: v0, v1, v2" in told
    assert "1 samples could not be read and are in no score: v0" in told
    after = rows_of(tmp_path / "out")
    assert set(after) == {"v1", "v2", "v3"} and after["v1"].text == "something else"
    assert after["v2"].union != before["v2"].union and after["v3"] == before["v3"]
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["overall"]["n"] == 3 and list(summary["bad_samples"]) == ["v0"]
    assert run(*asked) == 1
    assert "1 samples have changed since they were scored and count no more: v0" in capsys.readouterr().out
    assert rows_of(tmp_path / "out") == after  # not asked once more


def rows_of(directory):
    """Rows that the scores are of, by sample: the lines of the file are more."""
    dataset = open_dataset("reasonseg", directory.parent / "data", "val")
    return {row.key: row for row in read_current(directory, dataset, SampleDigests(dataset)).rows}


def test_pictures_that_cannot_be_shown_are_told(data, tmp_path, capsys):
    dataset = open_dataset("reasonseg", tmp_path / "data", "val")
    lisa = Lisa.from_pretrained(TINY / "lisa_hf", vision_tower=TINY / "clip_tiny", device="cpu")
    predictor = TeacherForced(lisa)
    log = evaluate(dataset, predictor, "reasonseg", tmp_path, first_wording=True)
    (data / "v0.jpg").write_bytes(b"")
    change(data / "v1.json", text=["something else"])
    write_benchmark(tmp_path, summarise(log), log.rows, dataset, predictor)
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/jpeg") == 2
    assert "v0 was scored, but cannot be shown" in page and "v1 was scored, but cannot be shown" in page


def test_rows_of_an_earlier_version_are_told(data, tmp_path, capsys):
    asked = "reasonseg", "--data", tmp_path / "data", "--out", tmp_path / "out", *MODEL
    assert run(*asked) == 0
    path = tmp_path / "out" / "rows.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps({k: v for k, v in line.items() if k != "digest"}) + "\n" for line in lines))
    assert run(*asked) == 2
    assert "is of an earlier version of lisa_ros" in capsys.readouterr().err


def test_false_premises_are_asked_and_scored(tmp_path, capsys):
    data = GOLDEN / "sesame_datasets"
    options = "--mode", "generative", "--max-new-tokens", 3, *MODEL
    out = tmp_path / "reasonseg"
    assert run("reasonseg", "--data", data, "--split", "val", "--false-premises", "--out", out, *options) == 0
    assert "published" not in capsys.readouterr().out
    log = read_all(out)
    assert [(row.turn, row.kind, row.exists) for row in log.rows] == [
        (0, "reasoning", True), (1, "false_premise", False), (0, "phrase", True), (1, "false_premise", False),
    ]  # fmt: skip
    assert run("fprefcoco", "--data", data, "--split", "val", "--out", tmp_path / "refer", *options) == 0
    rows = read_all(tmp_path / "refer").rows
    assert {row.text: row.alternatives for row in rows}["blue cup"] == ("white cup",)
    for folder, number in (("reasonseg", 4), ("refer", 8)):
        summary = json.loads((tmp_path / folder / "summary.json").read_text())
        assert summary["overall"]["n"] == number and summary["premises"].keys() == premise_scores(rows).keys()
        assert "True and false premises" in (tmp_path / folder / "report.html").read_text()


def test_fewer_questions_a_scene_are_another_evaluation(tmp_path, capsys):
    asked = "tabletop", "--count", 1, "--max-new-tokens", 3, "--out", tmp_path, *MODEL
    assert run(*asked, "--queries", 3) == 0
    assert run(*asked, "--queries", 2) == run(*asked) == 2
    told = capsys.readouterr().err
    names = [f"'tabletop/heldout/default{queries}/4 further'" for queries in ("/3 queries", "/2 queries", "")]
    assert f"source: {names[0]}, now {names[1]}" in told
    assert f"now {names[2]})" in told


def test_a_scene_that_does_not_fit_changes_the_exit_status(tmp_path, monkeypatch, capsys):
    def too_large(*_):
        raise MemoryBudgetError("too large")

    monkeypatch.setattr(Lisa, "encode", too_large)
    asked = "tabletop", "--count", 1, "--out", tmp_path, *MODEL
    assert run(*asked) == 1
    assert "1 samples could not be read" in capsys.readouterr().out
