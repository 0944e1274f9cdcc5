"""A miniature run on the reference images, in this process or in forked ones that start at once."""

import json
import multiprocessing
import os
import socket
import traceback
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from accelerate.state import AcceleratorState, GradientState, PartialState
from golden_training import TINY

from lisa_ros.types import Sample, TruthTarget, Turn
from training.config.sections import (
    BatchConfig,
    DataConfig,
    DeviceConfig,
    ModelConfig,
    OptimizerConfig,
    ValidationConfig,
)
from training.config.train_config import TrainConfig
from training.data.items import TrainingItem
from training.loop.trainer import Trainer


def train_config(run_dir: Path, **changes) -> TrainConfig:
    """Six steps of two micro-batches; dropout on. changes: of the sections' fields or of TrainConfig itself."""
    run = TrainConfig(
        run_dir=run_dir,
        model=ModelConfig(
            str(TINY.directory / "lisa_hf"), vision_tower=str(TINY.directory / "clip_tiny"), sam=TINY.meta["sam"]
        ),
        data=DataConfig(groups={}),
        lora=TINY.lora(dropout=0.1),
        batch=BatchConfig(steps=6, batch_size=1, accumulation=2, workers=0, max_length=1024),
        optimizer=OptimizerConfig(lr=1e-3, warmup_steps=2),
        devices=DeviceConfig(precision="fp32"),
        validation=ValidationConfig(every=3, pictures=1),
        checkpoint_every=2,
    )
    for name, value in changes.items():
        owner = next((s for s in ("batch", "optimizer", "devices", "cache") if hasattr(getattr(run, s), name)), None)
        change = {name: value} if owner is None else {owner: replace(getattr(run, owner), **{name: value})}
        run = replace(run, **change)
    return run


@cache
def golden_items() -> list[TrainingItem]:
    """Items with several conversations, several [SEG], no mask, and no image."""
    text = TrainingItem(
        image=None,
        conversations=((("Who are you?", "A dog."),),),
        masks=np.zeros((0, 0, 0), bool),
        ignore=None,
        source="text",
        key="0",
    )
    return [*TINY.items("T1"), *TINY.items("T2"), text]


class GoldenItems:
    """An endless stream of the reference items. poison: index whose image is replaced to spoil the run."""

    def __getitem__(self, index: int) -> TrainingItem:
        items = golden_items()
        return items[(index * 7 + index // 5) % len(items)]


def validation_samples() -> list[Sample]:
    """Two images with a question each, one of them with pixels to ignore."""
    samples = []
    for index in range(2):
        image = TINY.image(index)
        mask = np.zeros(image.shape[:2], bool)
        mask[20:60, 30:70] = True
        turn = Turn("the dog", (TruthTarget("the dog", mask),), "[SEG].")
        samples.append(Sample(image, (turn, turn), "golden", np.roll(mask, 10, 0) if index else None))
    return samples


def train(run: TrainConfig, items=None, validations=None, accepted=()):
    """Trains in this process; returns the TrainerState."""
    trainer = Trainer(run, items or GoldenItems(), validations or {}, accepted)
    try:
        return trainer.train()
    finally:
        trainer.accelerator.end_training()


def losses(run_dir: Path) -> list[float]:
    """The logged losses, in order of the steps."""
    lines = [json.loads(line) for line in (run_dir / "log.jsonl").read_text().splitlines()]
    lines = [line for line in lines if "loss" in line]
    assert [line["step"] for line in lines] == list(range(1, len(lines) + 1))
    return [line["loss"] for line in lines]


def reset_accelerate() -> None:
    """Forgets the accelerator of this process, which is a singleton, so that another one can be made."""
    for state in (AcceleratorState, GradientState, PartialState):
        state._reset_state()


_FORK = multiprocessing.get_context("fork")


def start(function, *arguments, environment: dict[str, str] | None = None):
    """Runs a function in a forked process; its error goes to stderr, and makes the exit code 1."""

    def body() -> None:
        reset_accelerate()
        os.environ.update(environment or {})
        code = 1
        try:
            function(*arguments)
            code = 0
        finally:
            if code:
                traceback.print_exc()
            os._exit(code)

    process = _FORK.Process(target=body)
    process.start()
    return process


def run_in_processes(function, *arguments, count: int, environment: dict[str, str] | None = None) -> list[int]:
    """Runs a function in a gloo group of forked processes; their exit codes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    common = {
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "ACCELERATE_USE_CPU": "true",
        **(environment or {}),
    }
    processes = [
        start(function, *arguments, environment={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(count)
    ]
    for process in processes:
        process.join(100)
    for process in processes:
        if process.is_alive():
            process.kill()
            process.join()
    return [process.exitcode for process in processes]
