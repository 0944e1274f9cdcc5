"""Two runs in one directory, as a cluster's requeue starts them: the second one is refused, whatever ends the first."""

import os
import signal
import subprocess
import sys
import time

import pytest
from small_run import reset_accelerate, start, train, train_config

from training.errors import TrainingError
from training.loop.run_directory import read_checkpoint
from training.loop.run_lock import RunLock

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def fresh_accelerator():
    yield
    reset_accelerate()


def wait_for(path, process):
    while not path.exists():
        assert process.is_alive()
        time.sleep(0.02)


def slow_run(run_dir):
    """A run that stays in its second step, with a worker that would inherit a lock of its files."""
    from training.loop import trainer

    step = trainer.Trainer._step

    def staying_step(self, *arguments):
        if self.state.step == 1:
            (run_dir / "there").touch()
            time.sleep(100)
        return step(self, *arguments)

    trainer.Trainer._step = staying_step
    train(train_config(run_dir, steps=3, workers=1, checkpoint_every=1))


def test_a_second_run_is_refused_until_the_first_one_has_ended(tmp_path):
    first = start(slow_run, tmp_path)
    wait_for(tmp_path / "there", first)
    with pytest.raises(TrainingError, match=rf"is in use by process {first.pid} on .*name another run_dir"):
        train(train_config(tmp_path, steps=3))
    reset_accelerate()
    assert read_checkpoint(tmp_path / "last.pt").state.step == 1
    os.kill(first.pid, signal.SIGKILL)
    first.join(100)
    assert train(train_config(tmp_path, steps=3)).step == 3  # at once, though the killed one's worker may still live


def test_a_run_that_is_done_or_failed_lets_the_next_one_in(tmp_path):
    train(train_config(tmp_path, steps=3))
    reset_accelerate()
    with pytest.raises(TrainingError, match="does not fit"):
        train(train_config(tmp_path, trainable=("lm_head",)))
    reset_accelerate()
    take = f"RunLock(Path({str(tmp_path)!r})).acquire()"
    code = f"from pathlib import Path; from training.loop.run_lock import RunLock; {take}"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_file_system_without_locks_is_told(tmp_path, monkeypatch, capsys):
    def no_locks(file, operation):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("training.loop.run_lock.fcntl.lockf", no_locks)
    lock = RunLock(tmp_path)
    lock.acquire()
    lock.release()
    assert "cannot be locked (Operation not supported)" in capsys.readouterr().err
