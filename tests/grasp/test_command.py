"""`lisa-ros eval grasp` from words to scores, and what it says where it cannot."""

import json
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lisa_ros.cli import main
from lisa_ros.errors import ConfigurationError
from lisa_ros.evaluation.grasp.attempts import GraspTask
from lisa_ros.evaluation.grasp.success_rates import rows, summarise, table, wilson_interval
from lisa_ros.evaluation.grasp.trials import CASES, Trial, run_trials

pytestmark = pytest.mark.unit


def test_one_scene_with_the_packaged_model(tmp_path, capsys):
    pytest.importorskip("mujoco")
    scores = tmp_path / "scores.json"
    where = ["--json", str(scores), "--out", str(tmp_path)]
    status = main(["eval", "grasp", "--scenes", "1", "--seed", "10", "--device", "cpu", *where])
    assert status == 0
    summary = json.loads(scores.read_text())
    for case in ("true_clean", "true_noisy", "predicted_clean", "predicted_noisy"):
        for recipe in ("lisa", "plain"):
            score = summary[case][recipe]
            assert score["n"] > 0 and 0.0 <= score["success"] <= 1.0
            assert round(score["success"] * score["n"]) + sum(score["failures"].values()) == score["n"]
    assert summary["true_clean"]["lisa"]["success"] > 0.0
    trials = [json.loads(line) for line in (tmp_path / "trials.jsonl").read_text().splitlines()]
    assert len(trials) == summary["objects"] and all(trial["question"] for trial in trials)
    assert sum(not trial["excluded"] for trial in trials) == summary["true_box"]["n"]
    assert np.asarray(Image.open(tmp_path / "film.png")).shape[2] == 3
    assert "true, noisy" in capsys.readouterr().out


def test_without_mujoco_the_remedy_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "mujoco", None)
    assert main(["eval", "grasp", "--scenes", "1"]) == 2
    assert "pip install 'lisa_ros[grasp]'" in capsys.readouterr().err


def test_noise_that_is_none_or_unknown_is_refused():
    pytest.importorskip("mujoco")
    for noise in ("none", "sonar"):
        with pytest.raises(ConfigurationError, match="kinect, realsense"):
            next(run_trials(range(1), noise, None))


@given(n=st.integers(1, 500), data=st.data())
def test_wilson_intervals_hold_the_share_within_0_and_1(n, data):
    successes = data.draw(st.integers(0, n))
    low, high = wilson_interval(successes, n)
    assert 0.0 <= low <= successes / n + 1e-12 and successes / n - 1e-12 <= high <= 1.0
    assert wilson_interval(n - successes, n)[1] == pytest.approx(1.0 - low)


def test_wilson_interval_is_the_textbooks():
    assert wilson_interval(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson_interval(0, 0) is None


def test_summary_counts_what_was_tried_and_tells_the_rest():
    task = GraspTask(0, "category", "the mug")
    outcomes = dict.fromkeys([(case, recipe) for case in CASES for recipe in ("lisa", "plain")], "success")
    trials = [
        Trial(0, "mug", task, 0.04, outcomes=outcomes | {("true_box", ""): "success"}),
        Trial(0, "fork", task, 0.02,
              outcomes=outcomes | {("true_noisy", "lisa"): "missed", ("true_box", ""): "success"}),
        Trial(1, "book", task, 0.15, "does not fit"),
        Trial(1, "ball", task, 0.06, "unsettled"),
    ]  # fmt: skip
    summary = summarise(trials)
    assert (summary["scenes"], summary["objects"]) == (2, 4)
    assert summary["excluded"] == {"does not fit": 1, "unsettled": 1}
    assert summary["true_noisy"]["lisa"]["success"] == 0.5 and summary["true_noisy"]["lisa"]["failures"] == {
        "missed": 1
    }
    assert summary["true_noisy"]["lisa"]["by_category"] == {"fork": [0, 1], "mug": [1, 1]}
    assert summary["true_clean"]["plain"]["success"] == 1.0
    text = table({"model": "m", "noise": "kinect"} | summary)
    assert "1 missed" in text and "1 does not fit" in text
    assert [row["excluded"] for row in rows(trials)] == ["", "", "does not fit", "unsettled"]
    nothing = summarise(trials[2:])
    assert nothing["true_clean"]["lisa"]["success"] is None and "-" in table({"model": "m", "noise": "n"} | nothing)
