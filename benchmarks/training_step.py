"""Where a training step's time and memory go, beside the official step in the same run.

`python benchmarks/training_step.py` trains LISA with random weights in the sizes of --size: "medium" for a CPU, "7b"
the published shapes on a GPU. Three kinds of step take turns: the official one, ours, and ours with SAM's features from
the cache on disk. The losses of all three must agree, or the times would mean nothing.
"""

import argparse
import ctypes
import json
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import official_step
import torch
from random_lisa import GPU_SIZES, SIZES, TOKENIZER, build
from tqdm import tqdm

from lisa_ros.images import read_image
from lisa_ros.model.network import LisaNetwork
from lisa_ros.model.tokenizer import LisaTokenizer
from training.config.sections import OptimizerConfig
from training.data.collate import IGNORE_INDEX, Batch, Collator
from training.data.feature_cache import FeatureCache
from training.data.items import TrainingItem
from training.data.loader import MicroBatchDataset, load_micro_batches
from training.loop.optimizer import build_optimizer
from training.model.losses import answer_loss, image_mask_losses
from training.model.network import visual_tokens
from training.model.objective import LisaObjective, full_precision

STAGES = ("data", "SAM encoder", "CLIP", "language model", "mask decoder", "backward", "optimizer")
BATCH_SIZE, CONVERSATIONS = 2, 3  # of the paper: images of a micro-batch, classes asked about in each
CLOSE = {torch.float32: 1e-4, torch.bfloat16: 1e-2}  # relative difference of losses that are the same


class Pictures:
    """An endless stream of items: JPEG files of 640x480 px, three conversations about each, with random masks."""

    def __init__(self, directory: Path, count: int) -> None:
        rng = np.random.default_rng(0)
        self.paths = [directory / f"{index}.jpg" for index in range(count)]
        for path in self.paths:
            coarse = rng.integers(0, 255, (12, 16, 3), dtype=np.uint8)
            cv2.imwrite(str(path), cv2.resize(coarse, (640, 480), interpolation=cv2.INTER_CUBIC))

    def __getitem__(self, index: int) -> TrainingItem:
        path = self.paths[index % len(self.paths)]
        masks = np.zeros((CONVERSATIONS, 480, 640), bool)
        for number, mask in enumerate(masks):
            mask[100 * number : 100 * number + 150, 50 : 300 + 20 * number] = True
        talk = tuple(
            ((f"Can you segment the thing number {number} in this image?", "Sure, it is [SEG]."),)
            for number in range(CONVERSATIONS)
        )
        return TrainingItem(read_image(path), talk, masks, None, "benchmark", path.name)


class Meter:
    """Seconds and peak memory of each stage of each kind of step."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        self.peak: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))

    @contextmanager
    def stage(self, kind: str, name: str) -> Iterator[None]:
        """Measures a block; on a GPU until it has really ended."""
        self._settle()
        self._reset_peak()
        started = time.perf_counter()
        yield
        self._settle()
        self.seconds[kind][name].append(time.perf_counter() - started)
        self.peak[kind][name] = max(self.peak[kind][name], self._peak())

    def _settle(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def _reset_peak(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        else:
            Path("/proc/self/clear_refs").write_text("5")  # Linux: VmHWM begins anew

    def _peak(self) -> float:
        """GB: of the device, or of the process's resident memory on a CPU."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated() / 1e9
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e9


class Stepper:
    """Takes optimizer steps of every kind on one network; the learning rate is zero, so that all see the same one."""

    def __init__(self, objective: LisaObjective, device: torch.device, dtype: torch.dtype) -> None:
        self.objective, self.device, self.dtype = objective, device, dtype
        self.trained = [p for p in objective.parameters() if p.requires_grad]
        self.optimizer = build_optimizer(self.trained, OptimizerConfig(lr=0.0), device)

    def run(
        self, kind: str, number: int, forward: Callable, data: MicroBatchDataset, meter: Meter
    ) -> tuple[float, float]:
        """Measures the step on micro-batch `number`, with the same random numbers whatever its kind.

        Returns the losses of the answer and of the masks.
        """
        stage = meter.stage
        if self.device.type == "cpu":
            ctypes.CDLL(None).malloc_trim(0)  # what another kind of step has freed is not of this one's peak
        with stage(kind, "data"):
            batch = data[number * BATCH_SIZE].batch
        batch = batch.to(self.device)
        torch.manual_seed(number)  # of LoRA's dropout
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.dtype == torch.bfloat16):
            ce, mask = forward(self.objective, batch, lambda name: stage(kind, name))
        with stage(kind, "backward"):
            (ce + mask).backward()
        with stage(kind, "optimizer"):
            torch.nn.utils.clip_grad_norm_(self.trained, 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad()
        return ce.item(), mask.item()


def ours(objective: LisaObjective, batch: Batch, stage: Callable) -> tuple[torch.Tensor, torch.Tensor]:
    """What `LisaObjective.forward` does, stage by stage: the losses of the answer and of the masks."""
    network = objective.network
    with stage("SAM encoder"):
        features = objective.encode(batch)
    with stage("CLIP"), torch.no_grad():
        visual = network.visual_tokens(features, batch.clip_pixels)
    with stage("language model"):
        embeddings = network.splice(batch.ids, visual[batch.image_of_row]) + objective.anchor()
        embeddings = embeddings.to(network.projector_dtype)
        hidden = network.hidden_states(embeddings, attention_mask=batch.attention_mask.long())
        learnt = batch.labels[:, 1:] != IGNORE_INDEX
        ce = answer_loss(network.logits(hidden[:, :-1][learnt]), batch.labels[:, 1:][learnt])
    with stage("mask decoder"), full_precision(hidden.device):
        logits = [one for one, _ in objective.masks(batch, hidden, features)]
        targets = [masks.to(hidden.device, torch.float32) for masks in batch.masks]
        return ce, image_mask_losses(logits, targets, list(batch.valid)).total


def official(objective: LisaObjective, batch: Batch, stage: Callable) -> tuple[torch.Tensor, torch.Tensor]:
    """The official step: the losses of the answer and of the masks."""
    network = objective.network
    with stage("SAM encoder"):
        features = official_step.encode_images(network, batch)
    with stage("CLIP"):
        visual = official_step.visual_tokens(network, batch)
    with stage("language model"):
        hidden = official_step.hidden_states(network, batch, visual)
        ce = official_step.answer_loss(network, batch, hidden)
    with stage("mask decoder"):
        return ce, official_step.mask_loss(network, batch, hidden, features)


def measure(size: str, device: torch.device, dtype: torch.dtype, repeats: int, directory: Path) -> dict:
    """Takes `repeats` steps of each kind in turn, after one of each to warm up.

    dtype: of frozen weights and computation, as `devices.precision`. Raises ValueError where the kinds' losses differ.
    """
    torch.manual_seed(0)
    objective = build(size, device, dtype)
    objective.network.set_attention("sdpa" if device.type == "cuda" else "eager")
    network, pictures = objective.network, Pictures(directory, BATCH_SIZE * (repeats + 1))
    cache = FeatureCache(directory / "cache", "random", 1 << 40)
    plain, cached = micro_batches(network, pictures, None), micro_batches(network, pictures, cache)
    fill(objective, cache, cached, repeats + 1)
    meter, warm_up, stepper = Meter(device), Meter(device), Stepper(objective, device, dtype)
    kinds = {"official": (official, plain), "ours": (ours, plain), "ours, cached": (ours, cached)}
    difference = 0.0
    for number in tqdm(range(repeats + 1), desc=f"steps of each of {len(kinds)} kinds", file=sys.stderr):
        losses = {}
        for kind, (forward, data) in kinds.items():
            losses[kind] = stepper.run(kind, number, forward, data, warm_up if number == 0 else meter)
        difference = max(difference, check(losses, CLOSE[dtype]))
    compute = {kind: sum(map(statistics.median, stages.values())) for kind, stages in meter.seconds.items()}
    return {
        "size": size,
        "device": torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads",
        "repeats": repeats,
        "largest_difference_of_losses": difference,
        "kinds": {kind: summary(meter, kind) for kind in kinds},
        "speed_up": {kind: compute["official"] / compute[kind] for kind in ("ours", "ours, cached")},
        "waiting_for_data": waiting(cached, compute["ours, cached"], repeats),
    }


def micro_batches(network: LisaNetwork, pictures: Pictures, cache: FeatureCache | None) -> MicroBatchDataset:
    """The pictures as a run's data."""
    collator = Collator(
        LisaTokenizer.from_directory(TOKENIZER), network.config, visual_tokens=visual_tokens(network),
        clip=network.vision_tower.preprocess, max_length=512, use_ignore=True,
    )  # fmt: skip
    return MicroBatchDataset(pictures, collator, BATCH_SIZE, cache)


def fill(objective: LisaObjective, cache: FeatureCache, data: MicroBatchDataset, steps: int) -> None:
    """Puts the features of all pictures into the cache, as a first epoch does."""
    objective.cache = cache
    for number in tqdm(range(steps), desc="filling the cache", file=sys.stderr):
        objective.encode(data[number * BATCH_SIZE].batch.to(next(objective.parameters()).device))
    objective.cache = None


def check(losses: dict[str, tuple[float, float]], close: float) -> float:
    """The largest relative difference of a kind's losses from the official ones. Raises ValueError beyond `close`."""
    largest = 0.0
    for kind, found in losses.items():
        for name, value, expected in zip(("answer", "masks"), found, losses["official"], strict=True):
            difference = abs(value - expected) / abs(expected)
            if not difference <= close:
                raise ValueError(
                    f"{kind}: the loss of the {name} is {value}, the official one {expected}, further apart than "
                    f"{close} of it: not the same step"
                )
            largest = max(largest, difference)
    return largest


def summary(meter: Meter, kind: str) -> dict:
    """Medians of seconds and peak GB by stage, and of the whole."""
    seconds = {name: statistics.median(meter.seconds[kind][name]) for name in STAGES}
    total = sum(seconds.values())
    return {
        "seconds": seconds,
        "seconds_in_all": total,
        "samples_per_second": BATCH_SIZE / total,
        "peak_gb": dict(meter.peak[kind]),
        "peak_gb_in_all": max(meter.peak[kind].values()),
    }


def waiting(data: MicroBatchDataset, seconds: float, repeats: int, workers: int = 2) -> dict:
    """How long a step of `seconds` has to wait for its data where workers prepare it meanwhile, as in a run."""
    waits = []
    batches = load_micro_batches(data, iter([number * BATCH_SIZE for number in range(repeats + 3)]), workers)
    for _ in range(repeats + 3):
        started = time.perf_counter()
        next(batches)
        waits.append(time.perf_counter() - started)
        time.sleep(seconds)  # the step, which on a GPU leaves the CPU to the workers
    batches.close()
    wait = statistics.median(waits[2:])
    return {"workers": workers, "seconds": wait, "share_of_step": wait / (wait + seconds)}


def table(result: dict) -> str:
    """For people to read."""
    kinds = result["kinds"]
    lines = [f"{result['size']} on {result['device']}, medians of {result['repeats']} steps of {BATCH_SIZE} images"]
    lines += [f"losses differ by {result['largest_difference_of_losses']:.1e} of them at most", ""]
    lines.append(f"{'seconds (peak GB)':<20}" + "".join(f"{kind:>20}" for kind in kinds))
    for name in STAGES:
        cells = (f"{kinds[kind]['seconds'][name]:.3f} ({kinds[kind]['peak_gb'][name]:.1f})" for kind in kinds)
        lines.append(f"{name:<20}" + "".join(f"{cell:>20}" for cell in cells))
    totals = (f"{part['seconds_in_all']:.3f} ({part['peak_gb_in_all']:.1f})" for part in kinds.values())
    lines.append(f"{'in all':<20}" + "".join(f"{cell:>20}" for cell in totals))
    lines.append(f"{'samples/s':<20}" + "".join(f"{part['samples_per_second']:>20.3f}" for part in kinds.values()))
    speeds = (f"{kind} {value:.2f}" for kind, value in result["speed_up"].items())
    wait = result["waiting_for_data"]
    lines += ["", f"speed-up over the official step: {', '.join(speeds)}"]
    lines.append(f"waiting for data, {wait['workers']} workers: {wait['share_of_step']:.1%} of a cached step")
    return "\n".join(lines)


def main(words: list[str] | None = None) -> int:
    """Prints the table; exit status 2 without the GPU that a size needs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="medium")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args(words)
    if args.size in GPU_SIZES and not torch.cuda.is_available():
        print(f"--size {args.size} needs an NVIDIA GPU of 24 GB or more; there is none here", file=sys.stderr)
        return 2
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    with tempfile.TemporaryDirectory() as directory:
        result = measure(args.size, device, dtype, args.repeats, Path(directory))
    print(table(result))
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
