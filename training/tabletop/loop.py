"""The loop that both stages of the tabletop recipe share: optimizer, schedule, checkpoints, resume, log, progress."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from lisa_ros.model.saving import write_atomically
from lisa_ros.progress import ProgressBar
from training.errors import TrainingError
from training.loop.run_lock import RunLock
from training.tabletop.distributed import average_weights, broadcast_state, start
from training.tabletop.optimizer import optimizers_for


@dataclass(frozen=True)
class LoopOptions:
    """Optimisation of one stage.

    steps: optimizer steps in all. lr: peak learning rate of Muon and AdamW. warmup: steps of linear warm-up.
    decay_fraction: last share of the steps, over which the learning rate falls linearly to zero; before, it is
    constant, so that a run can be prolonged from a checkpoint by raising `steps`.
    sync_every: steps between two averagings of the processes' weights; save_every is a multiple of it.
    average: share that the running average of the weights keeps at each of these; 0 for no average. With one, the
    checkpoint holds it under "average" beside the weights that training goes on from.
    """

    steps: int
    lr: float
    warmup: int = 50
    decay_fraction: float = 0.5
    weight_decay: float = 0.02
    clip: float = 1.0
    save_every: int = 48
    sync_every: int = 8
    average: float = 0.0


class RunningAverage:
    """Exponential average of a model's floating-point state; what is no floating-point number is taken as it is."""

    def __init__(self, model: torch.nn.Module, keep: float) -> None:
        self.keep = keep
        self.state = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: torch.nn.Module) -> None:
        """Takes in the model's weights as they are now."""
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                self.state[name].lerp_(tensor, 1 - self.keep)
            else:
                self.state[name].copy_(tensor)


def learning_rate_factor(step: int, options: LoopOptions) -> float:
    """Share of the peak learning rate at a step (trapezoid)."""
    decay_steps = max(1, round(options.steps * options.decay_fraction))
    return min((step + 1) / max(1, options.warmup), (options.steps - step) / decay_steps, 1.0)


def fit(
    model: torch.nn.Module,
    batches: Callable[[int], Iterator[object]],
    losses: Callable[[object], dict[str, torch.Tensor]],
    options: LoopOptions,
    run_dir: Path,
    lr_scale: Callable[[str], float] = lambda name: 1.0,
) -> None:
    """Trains `model` until `options.steps`, resuming from `run_dir/last.pt` where that exists.

    batches(step): endless iterator of this process's batches, beginning with that step's.
    losses(batch): named scalars; "loss" is minimised, the others are logged to `run_dir/log.jsonl`.
    Raises TrainingError when the loss is not finite, or another run is in `run_dir`.
    """
    rank, _ = start()
    run_dir.mkdir(parents=True, exist_ok=True)
    lock = RunLock(run_dir)
    if rank == 0:
        lock.acquire()
    optimizers = optimizers_for(model, options.lr, options.weight_decay, lr_scale)
    checkpoint, first = run_dir / "last.pt", 0
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        model.load_state_dict(state["model"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        first = state["step"]
    broadcast_state(model)
    average = RunningAverage(model, options.average) if options.average else None
    if average and checkpoint.exists() and "average" in state:
        average.state = state["average"]
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    parameters = [p for group in groups for p in group["params"]]
    if rank == 0:
        for leftover in run_dir.glob(f".{checkpoint.name}.*"):  # of a save that was killed
            leftover.unlink()
    progress = ProgressBar(options.steps, first=first, unit="step", active=rank == 0)
    stream, began = batches(first), time.time()
    for step in range(first, options.steps):
        values = losses(next(stream))
        if not torch.isfinite(values["loss"]):
            raise TrainingError(
                f"loss is {values['loss'].item()} at step {step}; the last good state is in {checkpoint}"
            )
        model.zero_grad(set_to_none=True)
        values["loss"].backward()
        torch.nn.utils.clip_grad_norm_(parameters, options.clip)
        for group in groups:
            group["lr"] = group["peak"] * learning_rate_factor(step, options)
        for optimizer in optimizers:
            optimizer.step()
        if (step + 1) % options.sync_every == 0 or step + 1 == options.steps:
            average_weights(model)
            if average:
                average.update(model)
        if rank == 0:
            record = {name: round(float(value.detach()), 5) for name, value in values.items()}
            progress.advance(step + 1, ", ".join(f"{name} {value:.4g}" for name, value in record.items()))
            with open(run_dir / "log.jsonl", "a") as log:
                log.write(json.dumps({"step": step, "minutes": round((time.time() - began) / 60, 2), **record}) + "\n")
            if (step + 1) % options.save_every == 0 or step + 1 == options.steps:
                state = {
                    "model": model.state_dict(),
                    "optimizers": [optimizer.state_dict() for optimizer in optimizers],
                    "step": step + 1,
                } | ({"average": average.state} if average else {})
                write_atomically(checkpoint, lambda path, state=state: torch.save(state, path))
    progress.close()
    lock.release()
