"""ELISA's adapter before its training: its mean, and the words of the content, which it may learn by itself first."""

import json
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lisa_ros.model.saving import write_atomically
from lisa_ros.simulator.query import object_phrase
from training.comparison.choosers.config import ChooserComparisonConfig
from training.comparison.choosers.elisa_base import PackagedElisa
from training.comparison.choosers.elisa_stage import MaskWordCollator
from training.comparison.questions import scene_batches

_SCENES = 64  # of the first steps
_BATCH = 64  # masks of a step
_TEMPERATURE = 0.1  # of cosines
_FILE = "adapter_pretraining.json"


def prepare_adapter(
    config: ChooserComparisonConfig, network: PackagedElisa, collator: MaskWordCollator, directory: Path, steps: int
) -> None:
    """Sets the mean that the adapter takes off, and teaches it the words of masks where `steps` is above 0.

    Args:
        config: Of the comparison.
        network: Whose adapter learns; nothing else does.
        collator: Gives candidates and their embeddings.
        directory: Of the system, where the core seconds are written.
        steps: Optimizer steps.
    """
    everything, masks, words = [], [], []
    for number, (scenes, _) in enumerate(scene_batches(config, 0)):
        if number * config.training.batch_size >= min(_SCENES, config.training.steps * config.training.batch_size):
            break
        for scene, sample in scenes:
            ids = sorted({target.instance_id for turn in sample.turns for target in turn.targets})
            example = collator.example(scene, ids)
            everything += [example.positives, example.negatives]
            masks.append(example.positives)
            words += [collator.tokenizer.encode(object_phrase(scene.objects[instance - 1])) for instance in ids]
    network.adapter.mean.copy_(torch.cat(everything).mean(dim=0))
    if not steps:
        return
    began = time.process_time()
    shares = _teach(network, torch.cat(masks), words, steps, config.training.lr)
    report = {"core_seconds": round(time.process_time() - began, 2), "first": shares[0], "last": shares[-1]}
    write_atomically(directory / _FILE, lambda path: path.write_text(json.dumps(report) + "\n", encoding="utf-8"))


def _teach(network: PackagedElisa, masks: Tensor, words: list[list[int]], steps: int, lr: float) -> list[float]:
    """Lets rows of masks lie near those of their words; returns each step's share whose nearest word is one."""
    table = F.normalize(network.llava.get_input_embeddings().weight.detach(), dim=-1)
    wanted = torch.zeros(len(masks), len(table))
    for row, ids in enumerate(words):
        wanted[row, ids] = 1 / len(ids)
    optimizer = torch.optim.AdamW(network.adapter.parameters(), lr=lr)
    rng, shares = np.random.default_rng(0), []
    for _ in range(steps):
        drawn = torch.from_numpy(rng.integers(len(masks), size=_BATCH))
        near = F.normalize(network.adapter(masks[drawn]), dim=-1) @ table.T
        loss = -(wanted[drawn] * (near / _TEMPERATURE).log_softmax(dim=-1)).sum(dim=-1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        shares.append(float((wanted[drawn].gather(1, near.argmax(dim=1)[:, None]) > 0).float().mean()))
    return shares


def pretraining_seconds(directory: Path) -> float:
    """Core seconds of the adapter's own training; 0 where there was none."""
    path = directory / _FILE
    return float(json.loads(path.read_text(encoding="utf-8"))["core_seconds"]) if path.is_file() else 0.0
