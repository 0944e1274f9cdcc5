"""A run that is killed at any moment goes on as if nothing had happened."""

import json
import os
import signal
import time

import pytest
import torch
from small_run import losses, reset_accelerate, start, train, train_config, validation_samples

from training.loop.run_directory import RunDirectory, read_checkpoint

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The log and the state of an uninterrupted run."""
    run_dir = tmp_path_factory.mktemp("whole")
    process = start(train, train_config(run_dir))
    process.join(100)
    assert process.exitcode == 0
    return run_dir


def assert_same(run_dir, whole):
    assert losses(run_dir) == losses(whole)
    mine, theirs = read_checkpoint(run_dir / "last.pt"), read_checkpoint(whole / "last.pt")
    assert mine.state == theirs.state
    for name, value in theirs.weights.items():
        assert torch.equal(mine.weights[name], value), name


@pytest.mark.parametrize("moment", ["in a step", "while saving"])
def test_kill_9(tmp_path, whole, moment):
    def killed():
        from training.loop import run_directory as checkpointing
        from training.loop import trainer

        if moment == "while saving":

            def dying_save(payload, file):
                if payload["progress"]["step"] == 4:
                    file.write(b"half a checkpoint")
                    file.flush()
                    os.kill(os.getpid(), signal.SIGKILL)
                return torch.serialization.save(payload, file)

            real = checkpointing.torch
            checkpointing.torch = type("T", (), {"save": staticmethod(dying_save), "load": real.load})
        else:
            step = trainer.Trainer._step

            def dying_step(self, *arguments):
                if self.state.step == 3:
                    os.kill(os.getpid(), signal.SIGKILL)
                return step(self, *arguments)

            trainer.Trainer._step = dying_step
        train(train_config(tmp_path))

    process = start(killed)
    process.join(100)
    assert process.exitcode == -signal.SIGKILL
    assert read_checkpoint(tmp_path / "last.pt").state.step == 2
    with open(tmp_path / "log.jsonl", "a") as log:
        log.write('{"step": 5, "lo')  # as a killed write leaves it
    process = start(train, train_config(tmp_path))
    process.join(100)
    assert process.exitcode == 0
    assert_same(tmp_path, whole)
    assert not list(tmp_path.glob(".last.pt.*"))


def test_sigterm_saves_and_the_run_goes_on(tmp_path, whole):
    process = start(train, train_config(tmp_path, checkpoint_every=1000))
    while not (tmp_path / "log.jsonl").exists():
        assert process.is_alive()
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGTERM)
    process.join(100)
    assert process.exitcode == 0
    assert read_checkpoint(tmp_path / "last.pt").state.step >= 1
    process = start(train, train_config(tmp_path))
    process.join(100)
    assert process.exitcode == 0
    assert_same(tmp_path, whole)


def test_a_checkpoint_of_another_adapter_is_refused(whole, tmp_path):
    from dataclasses import replace

    from training.errors import TrainingError

    other = train_config(whole)
    other = replace(other, lora=replace(other.lora, r=3))

    def refused():
        with pytest.raises(TrainingError, match=r"does not fit: .*lora_A"):
            train(other)

    process = start(refused)
    process.join(100)
    assert process.exitcode == 0


def test_a_validation_that_a_stop_put_off_is_made_up(tmp_path):
    """SIGTERM in the step after which a validation is due: it is saved at once, and validated on resume."""

    def stopped():
        from training.loop import trainer

        step = trainer.Trainer._step

        def stopping_step(self, *arguments):
            if self.state.step == 2:
                os.kill(os.getpid(), signal.SIGTERM)
            return step(self, *arguments)

        trainer.Trainer._step = stopping_step
        train(train_config(tmp_path), validations={"golden": validation_samples()})

    process = start(stopped)
    process.join(100)
    state = read_checkpoint(tmp_path / "last.pt")
    assert (process.exitcode, state.state.step, state.state.validated) == (0, 3, 0)
    process = start(lambda: train(train_config(tmp_path), validations={"golden": validation_samples()}))
    process.join(100)
    assert process.exitcode == 0
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "validation" in line] == [3, 6]
    assert read_checkpoint(tmp_path / "best.pt").state.best_giou is not None


def test_killed_before_the_first_save(tmp_path, whole):
    """The log of steps that nothing was saved of is not kept."""
    (tmp_path / "log.jsonl").write_text('{"step": 1, "loss": 9.0}\n{"st')
    process = start(train, train_config(tmp_path))
    process.join(100)
    assert process.exitcode == 0
    assert_same(tmp_path, whole)


def test_options_of_the_optimizer_hold_from_the_resume_on(tmp_path):
    def changed():
        train(train_config(tmp_path, steps=3))
        reset_accelerate()
        train(train_config(tmp_path, steps=4, betas=(0.5, 0.6), eps=1e-3, weight_decay=0.5))

    process = start(changed)
    process.join(100)
    assert process.exitcode == 0
    (group,) = read_checkpoint(tmp_path / "last.pt").optimizer["param_groups"]
    assert (group["betas"], group["eps"], group["weight_decay"]) == ((0.5, 0.6), 1e-3, 0.5)


def test_the_best_of_other_validation_data_is_not_the_best(tmp_path):
    first, second = validation_samples()

    def on_other_data():
        train(train_config(tmp_path, steps=3), validations={"golden": [first]})
        reset_accelerate()
        state = read_checkpoint(tmp_path / "last.pt")
        state.state.best_giou = 2.0  # of the first data, beyond whatever the other gives
        RunDirectory(tmp_path).save(tmp_path / "last.pt", state)
        train(train_config(tmp_path, steps=6), validations={"other": [second]})

    process = start(on_other_data)
    process.join(100)
    assert process.exitcode == 0
    progress = read_checkpoint(tmp_path / "best.pt").state
    assert progress.step == 6 and progress.best_of == "other, max_images None" and progress.best_giou <= 1


def test_a_validation_that_was_killed_is_logged_once(tmp_path):
    """Two sets; the run dies in the second one's validation, and makes up both."""
    validations = {"one": validation_samples(), "two": validation_samples()}

    def killed():
        from training.loop import trainer

        real = trainer.TrainingLog.log_validation

        def dying(self, step, name, *arguments):
            if name == "two":
                os.kill(os.getpid(), signal.SIGKILL)
            real(self, step, name, *arguments)

        trainer.TrainingLog.log_validation = dying
        train(train_config(tmp_path, steps=3), validations=validations)

    process = start(killed)
    process.join(100)
    assert process.exitcode == -signal.SIGKILL
    process = start(lambda: train(train_config(tmp_path, steps=3), validations=validations))
    process.join(100)
    assert process.exitcode == 0
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["validation"] for line in lines if "validation" in line] == ["one", "two"]
