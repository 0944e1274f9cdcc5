"""Two processes compute what one computes with twice the accumulation; none of the sharing changes a loss."""

import json
import os
import signal
from dataclasses import replace

import pytest
import torch
from accelerate import Accelerator
from small_run import losses, run_in_processes, start, train, train_config, validation_samples

from training.loop.run_directory import read_checkpoint

pytestmark = pytest.mark.unit


def train_and_validate(run):
    train(run, validations={"golden": validation_samples()})


def uneven_validation(run):
    """One process has one question to score, the other eighteen: three forward passes."""
    first, second = validation_samples()
    samples = [replace(first, turns=first.turns[:1]), replace(second, turns=second.turns * 9)]
    train(run, validations={"golden": samples})


def stopped(run):
    """Asked to stop in the fourth step, on the last process only: all have to."""
    from training.loop import trainer

    step = trainer.Trainer._step

    def stopping_step(self, *arguments):
        if self.state.step == 3 and self.sampler.rank == self.sampler.world_size - 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, *arguments)

    trainer.Trainer._step = stopping_step
    train_and_validate(run)
    progress = read_checkpoint(run.run_dir / "last.pt").state
    assert (progress.step, progress.validated) == (4, 3)


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """One process, two micro-batches a step."""
    run_dir = tmp_path_factory.mktemp("one")
    process = start(train_and_validate, train_config(run_dir, accumulation=2))
    process.join(100)
    assert process.exitcode == 0
    return run_dir


def assert_equal_runs(run_dir, one):
    assert losses(run_dir) == pytest.approx(losses(one), rel=1e-5)
    mine, theirs = read_checkpoint(run_dir / "last.pt"), read_checkpoint(one / "last.pt")
    assert mine.state.items == theirs.state.items
    assert mine.state.best_giou == pytest.approx(theirs.state.best_giou, abs=1e-4)
    assert set(mine.weights) == set(theirs.weights)
    for name, value in theirs.weights.items():
        torch.testing.assert_close(mine.weights[name], value, rtol=1e-3, atol=2e-4)


def test_data_parallel(tmp_path, one):
    assert run_in_processes(train_and_validate, train_config(tmp_path, accumulation=1), count=2) == [0, 0]
    assert_equal_runs(tmp_path, one)


def shard_with_torch():
    """Accelerate shards on GPUs only; here torch does the same on the CPU, and the trainer goes its FSDP way."""
    from torch.distributed.fsdp import fully_shard

    from training.loop import devices

    def prepare(self, objective, optimizer):
        for layer in objective.network.model.layers:
            fully_shard(layer)
        fully_shard(objective)
        group = {key: value for key, value in optimizer.param_groups[0].items() if key != "params"}
        trained = [parameter for parameter in objective.parameters() if parameter.requires_grad]
        return objective, self.prepare_optimizer(type(optimizer)([{**group, "params": trained}]))

    devices.is_fsdp = lambda accelerator: True
    Accelerator.prepare = prepare


def sharded(function, run):
    shard_with_torch()
    function(run)


def test_sharded_weights_and_a_resume(tmp_path, one):
    """FSDP2, stopped after four steps and resumed; its file is the one that a single process writes."""
    run = train_config(tmp_path, accumulation=1)
    assert run_in_processes(sharded, stopped, run, count=2) == [0, 0]
    assert run_in_processes(sharded, train_and_validate, run, count=2) == [0, 0]
    assert_equal_runs(tmp_path, one)


def test_what_one_process_began_goes_on_sharded(tmp_path, one):
    process = start(stopped, train_config(tmp_path, accumulation=2))
    process.join(100)
    assert process.exitcode == 0
    assert run_in_processes(sharded, train_and_validate, train_config(tmp_path, accumulation=1), count=2) == [0, 0]
    assert_equal_runs(tmp_path, one)


@pytest.mark.parametrize("shard", [False, True], ids=["ddp", "fsdp"])
def test_images_with_different_numbers_of_questions(tmp_path, shard):
    """Every forward pass of a validation is one of all processes, or they wait for each other for ever."""
    run = train_config(tmp_path, accumulation=1, steps=3, warmup_steps=1)
    function, *arguments = (sharded, uneven_validation, run) if shard else (uneven_validation, run)
    assert run_in_processes(function, *arguments, count=2) == [0, 0]
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "validation" in line] == [3]
