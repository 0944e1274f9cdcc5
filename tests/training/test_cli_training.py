"""`python -m training` from end to end on miniature data: train, go on, validate, merge, and load the result."""

import json
import os
import signal
from pathlib import Path

import pytest
import yaml
from golden_training import ROOT, TINY
from small_run import run_in_processes, start

from training.__main__ import main

TABLETOP = str(ROOT / "config" / "training" / "tabletop.yaml")
pytestmark = pytest.mark.unit


def write_config(path, run_dir, **changes):
    values = {
        "recipe": "lora",
        "run_dir": str(run_dir),
        "model": {
            "source": str(TINY.directory / "lisa_hf"),
            "vision_tower": str(TINY.directory / "clip_tiny"),
            "sam": TINY.meta["sam"],
        },
        "data": {"groups": {"tabletop": {"weight": 1.0, "sets": ["tabletop"]}}},
        "lora": {"r": 2, "alpha": 8},
        "batch": {"steps": 2, "batch_size": 1, "accumulation": 1, "workers": 1, "max_length": 1024},
        "optimizer": {"warmup_steps": 1},
        "devices": {"precision": "bf16"},
        "validation": {"data": ["tabletop|val"], "every": 2, "max_images": 2, "pictures": 1},
        **changes,
    }
    path.write_text(yaml.safe_dump(values))
    return str(path)


def run(*arguments):
    """The command in a process of its own; its exit code and output."""
    process = start(lambda: exit_with(main(list(arguments))))
    process.join(100)
    return process.exitcode


def exit_with(code):
    if code:
        raise SystemExit(code)


def test_train_validate_merge(tmp_path, capfd):
    config, run_dir = write_config(tmp_path / "run.yaml", tmp_path / "run"), tmp_path / "run"
    assert run("train", "--config", config) == 0
    begun = capfd.readouterr().out.splitlines()
    assert begun[0].startswith("data: tabletop (100%): tabletop ") and "validation: tabletop|val, 200 images" in begun
    assert any(line.startswith("device: cpu (") for line in begun)
    assert any(line.startswith("trained parameters: ") for line in begun)
    assert {"last.pt", "best.pt", "log.jsonl", "settings.yaml", "samples", "tensorboard"} <= {
        path.name for path in run_dir.iterdir()
    }
    assert list(run_dir.glob("samples/*/step_000002/*.png")) and list(run_dir.glob("tensorboard/events*"))
    assert yaml.safe_load((run_dir / "settings.yaml").read_text())["optimizer"]["lr"] == 3e-4
    longer = write_config(
        tmp_path / "run.yaml", run_dir, batch={"steps": 3, "batch_size": 1, "accumulation": 1, "workers": 0}
    )
    assert run("train", "--config", longer) == 0
    lines = [json.loads(line) for line in (run_dir / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == [1, 2, 3]
    capfd.readouterr()
    assert run("validate", "--config", config, "--checkpoint", str(run_dir / "last.pt")) == 0
    scores = json.loads(capfd.readouterr().out)
    last = next(line for line in reversed(lines) if "validation" in line)
    assert scores["tabletop|val"]["giou"] == pytest.approx(last["giou"], abs=1e-6)
    assert run("merge", "--config", config, "--out", str(tmp_path / "lisa")) == 0

    from lisa_ros import Lisa

    lisa = Lisa.from_pretrained(tmp_path / "lisa", vision_tower=TINY.directory / "clip_tiny", device="cpu")
    assert len(lisa.segment(lisa.encode(TINY.image(0)), "the red box").targets) == 1


def dies_in_its_second_step(config):
    """The last process is killed, as for want of memory; the other one has the command's own end."""
    from training.loop import trainer

    step = trainer.Trainer._step

    def dying_step(self, *arguments):
        if self.state.step == 1 and self.sampler.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(self, *arguments)

    trainer.Trainer._step = dying_step
    exit_with(main(["train", "--config", config]))


def test_a_process_that_is_killed_ends_the_others_in_one_line(tmp_path, capfd):
    config = write_config(tmp_path / "run.yaml", tmp_path / "run", validation={"data": []})
    codes = run_in_processes(dies_in_its_second_step, config, count=2)
    assert codes == [1, -signal.SIGKILL]
    errors = capfd.readouterr().err
    assert "error: the exchange with the other processes of the run broke" in errors
    assert [line for line in errors.splitlines() if line.endswith("Error") or "Error:" in line] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "--config", "{none}"], "cannot read"),
        (["merge", "--config", "{lora}", "--out", "x"], "has no checkpoint"),
        (["merge", "--config", "{lora}", "--checkpoint", "absent.bin", "--out", "x"], "there is no file absent.bin"),
        (["export", "--config", "{lora}", "--checkpoint", "base", "--out", "{file}/x"], "cannot write the checkpoint"),
        (["train", "--config", "{lora}", "--stage", "vision"], "recipe lora, which has no stage vision"),
        (["validate", "--config", "{tabletop}"], "recipe tabletop has no command validate"),
    ],
)
def test_mistakes_end_with_one_line(tmp_path, capsys, arguments, words):
    (tmp_path / "tabletop.yaml").write_text(
        yaml.safe_dump(yaml.safe_load(Path(TABLETOP).read_text()) | {"run_dir": str(tmp_path / "t")})
    )
    places = {
        "file": str(tmp_path / "file"),
        "none": str(tmp_path / "none.yaml"),
        "lora": write_config(tmp_path / "run.yaml", tmp_path / "run"),
        "tabletop": str(tmp_path / "tabletop.yaml"),
    }
    (tmp_path / "file").write_text("")
    assert main([word.format(**places) for word in arguments]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ") and words in error


def test_train_runs_all_stages_of_the_tabletop_recipe_in_order(monkeypatch, capsys):
    from training.tabletop import joint, language, vision

    done = []
    for name, module in (("vision", vision), ("language", language), ("tabletop", joint)):
        monkeypatch.setattr(module, "train", lambda train_config, base=None, name=name: done.append(base or name))
    monkeypatch.setattr(joint, "export", lambda train_config, out: done.append(str(out)))
    assert main(["train", "--config", TABLETOP]) == 0
    assert main(["train", "--config", TABLETOP, "--stage", "language"]) == 0
    assert main(["vision", "--config", TABLETOP]) == 0
    assert main(["export", "--config", TABLETOP, "--out", "x"]) == 0
    assert main(["tabletop", "--config", TABLETOP, "--base", "base"]) == 0
    assert done == ["vision", "language", "tabletop", "language", "vision", "x", Path("base")]
    assert main(["train", "--config", TABLETOP, "--base", "base"]) == 2
    assert "add --stage tabletop" in capsys.readouterr().err
