"""What goes wrong in a long run stops it with a clear word, or is left out and counted; nothing saved is lost."""

import errno
import os
import resource
import shutil
import signal
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from golden_training import TINY
from small_run import GoldenItems, golden_items, losses, reset_accelerate, start, train, train_config

from lisa_ros.errors import CheckpointError, ConfigurationError, InvalidImageError
from training.errors import TrainingError
from training.loop.run_directory import RunDirectory, TrainerState, TrainingCheckpoint, read_checkpoint

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def fresh_accelerator():
    yield
    reset_accelerate()


class Spoilt(GoldenItems):
    """Items whose number is in `bad` are given to `spoil`."""

    def __init__(self, spoil, *bad):
        self.spoil, self.bad = spoil, bad

    def __getitem__(self, index):
        item = super().__getitem__(index)
        return self.spoil(item) if index in self.bad else item


def test_a_loss_that_is_not_finite_stops_and_keeps_what_was_saved(tmp_path, monkeypatch):
    from training.model import objective

    real = objective.answer_loss
    calls = iter(range(1000))
    monkeypatch.setattr(objective, "answer_loss", lambda *a: real(*a) * (float("nan") if next(calls) == 7 else 1))
    with pytest.raises(TrainingError, match=r"loss is nan at step 3 \(items golden T.*last\.pt"):
        train(train_config(tmp_path))
    state = read_checkpoint(tmp_path / "last.pt")
    assert state.state.step == 2
    assert all(torch.isfinite(value).all() for value in state.weights.values())
    train(train_config(tmp_path))
    assert len(losses(tmp_path)) == 6


def test_a_base_that_is_not_finite_is_told_as_what_it_is(tmp_path):
    """Not as an item, nor as a learning rate."""
    base = shutil.copytree(TINY.directory / "lisa_hf", tmp_path / "base")
    weights = torch.load(base / "pytorch_model.bin", weights_only=True)
    name = "model.layers.1.mlp.up_proj.weight"
    weights[name][3, 4] = float("nan")
    torch.save(weights, base / "pytorch_model.bin")
    run = train_config(tmp_path / "run")
    with pytest.raises(CheckpointError, match=rf"base: 1 weights hold values that are not finite, {name} among them"):
        train(replace(run, model=replace(run.model, source=str(base))))


def test_a_gradient_that_is_not_finite_names_all_items_of_the_step(tmp_path, monkeypatch):
    from accelerate import Accelerator

    monkeypatch.setattr(Accelerator, "clip_grad_norm_", lambda *a: torch.tensor(float("inf")))
    with pytest.raises(TrainingError, match=r"norm is inf at step 0 \(items golden T\S+, golden T[^,]+\); nothing was"):
        train(train_config(tmp_path))


def test_a_full_disk_keeps_the_old_checkpoint(tmp_path, monkeypatch):
    from lisa_ros.model import saving

    run = RunDirectory(tmp_path)
    run.prepare()
    run.save(run.last, TrainingCheckpoint(TrainerState(step=1), {"w": torch.ones(3)}))

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(saving.os, "fsync", full)
    with pytest.raises(TrainingError, match="step 2: the disk is full; the last good state is still in"):
        run.save(run.last, TrainingCheckpoint(TrainerState(step=2), {"w": torch.zeros(3)}))
    assert read_checkpoint(run.last).state.step == 1
    assert not list(tmp_path.glob(".last.pt.*"))


def test_a_write_that_the_system_refuses_half_way(tmp_path):
    """A real limit on file sizes, hit in the middle of the save."""

    def limited():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        run = RunDirectory(tmp_path)
        run.prepare()
        run.save(run.last, TrainingCheckpoint(TrainerState(step=1), {"w": torch.ones(3)}))
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        with pytest.raises(TrainingError, match="step 2: the disk is full; the last good state is still in"):
            run.save(run.last, TrainingCheckpoint(TrainerState(step=2), {"w": torch.zeros(1_000_000)}))
        assert read_checkpoint(run.last).state.step == 1
        assert not list(tmp_path.glob(".last.pt.*"))

    process = start(limited)
    process.join(60)
    assert process.exitcode == 0


def test_bad_items_are_left_out_counted_and_named(tmp_path):
    def spoil(item):
        if item.image is None:
            return replace(item, conversations=((("why? " * 2000, "So."),),))
        return replace(item, image=item.image.astype(np.float32))

    bad = [index for index in range(12) if index % 4 == 1]
    progress = train(train_config(tmp_path), Spoilt(spoil, *bad))
    assert progress.step == 6 and progress.skipped == len(bad)
    reasons = (tmp_path / "skipped_0.log").read_text().splitlines()
    assert len(reasons) == len(bad) and all("(H, W, 3) uint8" in r or "max_length" in r for r in reasons)


def test_nothing_but_bad_items_is_an_error(tmp_path):
    class Broken:
        def __getitem__(self, index):
            raise InvalidImageError(f"{index}.jpg cannot be read as an image")

    with pytest.raises(TrainingError, match=r"20 items in a row cannot be used; the last one: .*jpg"):
        train(train_config(tmp_path), Broken())


def test_a_run_directory_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(TrainingError, match=r"cannot write in .*file.*; run_dir must be a directory"):
            train(train_config(path))


def test_what_is_learnt_is_saved_before_a_validation(tmp_path):
    class Failing:
        def __len__(self):
            return 1

        def __getitem__(self, index):
            raise MemoryError

    with pytest.raises(MemoryError):
        train(train_config(tmp_path, checkpoint_every=100), validations={"v": Failing()})
    assert read_checkpoint(tmp_path / "last.pt").state.step == 3


def test_going_on_with_other_settings_is_told(tmp_path, capsys):
    train(train_config(tmp_path, steps=3))
    record = (tmp_path / "settings.yaml").read_text()
    with pytest.raises(TrainingError, match="does not fit"):
        train(train_config(tmp_path, trainable=("lm_head",)))
    assert (tmp_path / "settings.yaml").read_text() == record
    capsys.readouterr()
    train(train_config(tmp_path, steps=4, lr=1e-4))
    assert "from step 3 with other settings: batch.steps: 3 -> 4, optimizer.lr: 0.001 -> 0.0001" in (
        capsys.readouterr().out
    )


def test_a_damaged_checkpoint_is_named(tmp_path):
    run = RunDirectory(tmp_path)
    run.prepare()
    run.last.write_bytes(b"half")
    with pytest.raises(TrainingError, match=r"last\.pt is damaged"):
        train(train_config(tmp_path))


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is there")
def test_what_needs_a_gpu_says_so(tmp_path):
    with pytest.raises(ConfigurationError, match="adamw8bit needs a CUDA device"):
        train(train_config(tmp_path, name="adamw8bit"))


def test_what_needs_bitsandbytes_says_so(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(ConfigurationError, match="nf4 needs bitsandbytes"):
        train(train_config(tmp_path, quantization="nf4"))


def test_items_of_the_small_run_are_as_promised():
    kinds = {(item.image is None, len(item.conversations)) for item in golden_items()}
    assert (True, 1) in kinds and (False, 2) in kinds


def test_a_saved_state_that_gives_no_finite_loss_is_told_apart(tmp_path, monkeypatch):
    from training.model import objective

    train(train_config(tmp_path, steps=3))
    reset_accelerate()
    monkeypatch.setattr(objective, "answer_loss", lambda *a: torch.tensor(float("nan")))
    with pytest.raises(TrainingError, match=r"at step 3 .*the first after \S+last\.pt.*already damaged.*best\.pt"):
        train(train_config(tmp_path))


def test_a_checkpoint_of_weights_alone_cannot_be_gone_on_from(tmp_path):
    run = RunDirectory(tmp_path)
    train(train_config(tmp_path, steps=3))
    reset_accelerate()
    state = read_checkpoint(run.last)
    run.save(run.last, TrainingCheckpoint(state.state, state.weights))
    with pytest.raises(TrainingError, match=r"last\.pt has no state of the optimizer: it is a copy of best\.pt"):
        train(train_config(tmp_path))


def test_a_worker_that_is_killed_is_told_in_a_line(tmp_path):
    def die(item):
        os.kill(os.getpid(), signal.SIGKILL)

    def told():
        with pytest.raises(TrainingError, match=r"DataLoader worker .* lower batch\.workers"):
            train(train_config(tmp_path, workers=1), items=Spoilt(die, 6))

    process = start(told)
    process.join(100)
    assert process.exitcode == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"trainable": ("lm_head", "visual_model"), "directory": "features"}, "lets the image encoder learn"),
        ({"trainable": ("lm_head", "vision_tower")}, "lets the vision tower learn"),
    ],
    ids=["cache", "tower"],
)
def test_what_would_learn_in_vain_is_refused(tmp_path, changes, words):
    with pytest.raises(ConfigurationError, match=words):
        train(train_config(tmp_path, **changes))
