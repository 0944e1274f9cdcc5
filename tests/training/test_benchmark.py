"""The benchmark of a training step: its kinds compute the same, and its numbers add up."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
training_step = pytest.importorskip("training_step")

pytestmark = pytest.mark.unit


def test_the_steps_agree_and_the_stages_are_the_whole(tmp_path, capsys):
    path = tmp_path / "step.json"
    assert training_step.main(["--size", "tiny", "--repeats", "1", "--json", str(path)]) == 0
    result = json.loads(path.read_text())
    assert set(result["kinds"]) == {"official", "ours", "ours, cached"}
    for part in result["kinds"].values():
        assert set(part["seconds"]) == set(part["peak_gb"]) == set(training_step.STAGES)
        assert part["seconds_in_all"] == pytest.approx(sum(part["seconds"].values()))
        assert part["samples_per_second"] == pytest.approx(2 / part["seconds_in_all"])
        assert all(0.1 < value < 24 for value in part["peak_gb"].values())
    official, ours, cached = result["kinds"].values()
    assert cached["seconds"]["SAM encoder"] < ours["seconds"]["SAM encoder"], "the encoder is skipped"
    assert result["speed_up"]["ours"] == pytest.approx(official["seconds_in_all"] / ours["seconds_in_all"])
    assert "speed-up over the official step" in capsys.readouterr().out


def test_steps_that_do_not_compute_the_same_are_refused():
    with pytest.raises(ValueError, match="not the same step"):
        training_step.check({"official": 2.0, "ours": 2.01})


def test_the_published_size_needs_a_gpu(monkeypatch, capsys):
    monkeypatch.setattr(training_step.torch.cuda, "is_available", lambda: False)
    assert training_step.main(["--size", "7b"]) == 2
    assert "needs an NVIDIA GPU" in capsys.readouterr().err
