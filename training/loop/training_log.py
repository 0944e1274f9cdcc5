"""What a run shows: what it begins with, progress, log.jsonl, TensorBoard."""

import resource
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from PIL import Image
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from lisa_ros.progress import ProgressBar
from training.config.train_config import TrainConfig
from training.loop.run_directory import RunDirectory


class TrainingLog:
    """Of the main process; the others' is silent. first: steps done before; a step's number is how many are done."""

    def __init__(self, run: RunDirectory, first: int, steps: int, active: bool) -> None:
        self.run, self.active = run, active
        self.bar = ProgressBar(steps, first=first, unit="step", active=active)
        self.board = SummaryWriter(str(run.path / "tensorboard"), purge_step=first + 1) if active else None
        self._time = time.monotonic()

    def log_step(self, step: int, values: Mapping[str, float], items: int) -> None:
        """One optimizer step: losses, learning rate, gradient norm; items of all processes that it took."""
        if not self.active:
            return
        now = time.monotonic()
        speed, self._time = items / max(1e-9, now - self._time), now
        record = {**values, "samples_per_s": round(speed, 3), "memory_gb": round(memory_gb(), 3)}
        self.run.append_log({"step": step, **record})
        for name, value in record.items():
            self.board.add_scalar(f"train/{name}", value, step)
        shown = {"loss": "loss", "lr": "lr", "samples_per_s": "samples/s", "memory_gb": "GB", "skipped": "skipped"}
        self.bar.advance(step, ", ".join(f"{label} {record[name]:.4g}" for name, label in shown.items()))

    def log_validation(self, step: int, name: str, values: Mapping[str, float], pictures: Path) -> None:
        """One validation set's scores, and the sheets in `pictures`."""
        if not self.active:
            return
        self.run.append_log({"step": step, "validation": name, **values})
        for key, value in values.items():
            self.board.add_scalar(f"validation/{name}/{key}", value, step)
        for path in sorted(pictures.glob("*.png")):
            self.board.add_image(f"{name}/{path.stem}", np.array(Image.open(path)), step, dataformats="HWC")
        self.print(f"step {step}: {name} " + ", ".join(f"{key} {value:.4f}" for key, value in values.items()))
        self._time = time.monotonic()

    def print(self, text: str) -> None:
        """A line above the progress bar."""
        if self.active:
            self.bar.say(text)

    def close(self) -> None:
        """Ends bar and board."""
        self.bar.close()
        if self.board is not None:
            with suppress(OSError):  # a full disk was reported already; log.jsonl has the same values
                self.board.close()


def device_line(accelerator: Accelerator, config: TrainConfig) -> str:
    """Where a run computes, in words."""
    device, count = accelerator.device, accelerator.num_processes
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    others = f", {count} processes" if count > 1 else ""
    batch, precision = config.batch, config.devices.precision
    items = batch.batch_size * batch.accumulation * count
    return f"device: {device} ({name}){others}, {precision}; {batch.steps} steps of {items} items"


def parameters_line(objective: nn.Module) -> str:
    """How many parameters learn, and of how many."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in objective.parameters()]
    trained = sum(size for size, learns in sizes if learns)
    return f"trained parameters: {trained:,} of {sum(size for size, _ in sizes):,}"


def memory_gb() -> float:
    """Peak device memory of this process, in GB; without a GPU its peak resident memory."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
