"""The evaluation with the real node: the packaged model, and nodes that fail."""

import json
import re
import sys
from html import escape
from pathlib import Path

import pytest

from lisa_ros.evaluation.scans.rows import read_rows
from lisa_ros.scannet.scene_queries import read_queries

pytestmark = pytest.mark.ros

RUNNER = Path(__file__).with_name("run_misbehaving.py")


@pytest.mark.timeout(300)
def test_lockstep_is_offline_to_the_pixel_and_truth_scores_one(paths, start_python, tmp_path):
    process = start_python("lisa_ros", "eval", "bag", paths.bag, "--boundary", "0", "--out", tmp_path)
    assert process.wait(280) == 0, process.output
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["truth_giou"] == 1.0
    assert summary["pixel_equal"] is True and summary["pixel_differences"] == []
    rows = read_rows(tmp_path / "rows.jsonl")
    by_protocol = {name: [row for row in rows if row.protocol == name] for name in ("truth", "lockstep", "offline")}
    assert {name: len(found) for name, found in by_protocol.items()} == {"truth": 9, "lockstep": 9, "offline": 9}
    lockstep, offline = summary["lockstep"], summary["offline"]
    assert lockstep["giou"] == offline["giou"] and lockstep["ciou"] == offline["ciou"]
    assert summary["truth"]["space"]["n"] >= 3 and summary["truth"]["space"]["precision_2cm"] == 1.0
    assert summary["truth"]["stability"]["pairs"] == 6
    realtime = summary["realtime"]
    assert realtime["frames_played"] == 4 and realtime["questions"] >= 1
    assert set(summary["baselines"]) == {"whole image", "centre box", "class-name oracle"}
    page = (tmp_path / "report.html").read_text()
    assert "to the pixel" in page and not re.findall(r'<script|(?:src|href)="(?!data:|#)', page)
    assert (tmp_path / "rows.csv").stat().st_size > 0 and "report.html" in process.output


@pytest.mark.timeout(240)
@pytest.mark.parametrize("how", ["hangs", "dies"])
def test_what_gets_no_answer_is_counted_and_a_dead_node_is_reported(how, paths, start_process, tmp_path):
    query = read_queries(paths.bag.parent / "queries.jsonl")[1]
    process = start_process([sys.executable, RUNNER, paths.bag, tmp_path, query.text, how])
    assert process.wait(220) == 1, process.output
    summary = json.loads((tmp_path / "summary.json").read_text())
    lockstep = summary["lockstep"]
    assert not summary["passed"] and summary["truth_giou"] == 1.0
    assert lockstep["n"] == 9, "no question is lost"
    problems = " ".join(summary["problems"])
    if how == "hangs":
        assert lockstep["unanswered"] == 3 and lockstep["statuses"]["NO_RESULT"] == 3
        assert lockstep["giou"] == pytest.approx(6 / 9, abs=1e-4), "the others are right"
        assert "3 of 9 questions of lockstep got no answer" in problems
    else:
        assert lockstep["unanswered"] == 8, "the node answered one question and died at the second"
        assert "the process perception ended with status 7" in problems
    assert escape(summary["problems"][0]) in (tmp_path / "report.html").read_text()
