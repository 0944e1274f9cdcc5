"""LISA's teacher-forced validation: the answer "[SEG]." is given, its mask is scored (gIoU, cIoU)."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import nn
from tqdm import tqdm

from lisa_ros.evaluation.metrics import IGNORE, SegmentationMetrics
from lisa_ros.images import write_image
from lisa_ros.model.config import LisaConfig
from lisa_ros.types import SEGMENTED, Sample, SegmentationResult, Target, Turn
from lisa_ros.visualization import annotated_picture
from training.collate import Collator
from training.data.item import TrainingItem

TURNS_AT_ONCE = 8
_ANSWER = "[SEG]."


def validation_item(sample: Sample, turns: Sequence[Turn], config: LisaConfig, key: str) -> TrainingItem:
    """Turns of one image as the official validation asks them: a conversation each, answered "[SEG].".

    The mask of each is what `truth_of` gives, so that it has the size of the image; scoring goes by the turn.
    """
    talks = []
    for turn in turns:
        query = config.mask_query["sentence" if turn.is_sentence else "phrase"].replace("{text}", turn.question)
        talks.append(((query, _ANSWER),))
    size = sample.image.shape[:2]
    masks = [np.zeros(size, bool) if (truth := truth_of(turn)) is None else truth for turn in turns]
    return TrainingItem(
        image=sample.image,
        conversations=tuple(talks),
        masks=np.stack(masks),
        ignore=None,
        source=sample.source,
        key=key,
    )


def truth_of(turn: Turn) -> np.ndarray | None:
    """(H, W) bool union of the turn's targets; None if all of them are absent from the image."""
    masks = [target.mask for target in turn.targets if target.mask is not None]
    return np.logical_or.reduce(masks) if masks else None


def with_ignore(truth: np.ndarray | None, ignore: np.ndarray | None) -> np.ndarray | None:
    """The truth as SegmentationMetrics takes it: uint8 with 255 where pixels do not count."""
    if truth is None or ignore is None:
        return truth
    return np.where(ignore, np.uint8(IGNORE), truth.astype(np.uint8))


def validate(
    objective: nn.Module,
    samples: Sequence[Sample],
    collator: Collator,
    config: LisaConfig,
    accelerator: Accelerator,
    max_images: int | None = None,
    pictures: Path | None = None,
    picture_count: int = 0,
) -> SegmentationMetrics:
    """Scores every turn of the samples once, shared out among the processes; all of them get the same result.

    max_images: score the first ones only. pictures: directory for sample predictions of the first `picture_count`
    images, each turn a sheet.
    """
    rank, world = accelerator.process_index, accelerator.num_processes
    count = min(len(samples), max_images or len(samples))
    mine = list(range(rank, count, world))
    rounds = -(-count // world)
    was_training, metrics = objective.training, SegmentationMetrics()
    objective.eval()
    with torch.no_grad():
        for number in tqdm(range(rounds), "validation", disable=rank > 0, leave=False, mininterval=1):
            # A process that has run out computes its last image again: with sharded weights all must take part.
            index = mine[min(number, len(mine) - 1)] if mine else 0
            sample = samples[index]
            scored = SegmentationMetrics()
            for first, turns, masks in _predict(objective, sample, index, collator, config, accelerator):
                for offset, (turn, mask) in enumerate(zip(turns, masks, strict=True)):
                    iou = scored.add(mask, with_ignore(truth_of(turn), sample.ignore))
                    if pictures is not None and index < picture_count and number < len(mine):
                        _draw(pictures / f"{index:04d}_{first + offset}.png", sample, turn, mask, iou)
            if number < len(mine):
                metrics.merge(scored)
    objective.train(was_training)
    total = SegmentationMetrics()
    for part in gather_object([metrics]):
        total.merge(part)
    return total


def _predict(
    objective: nn.Module,
    sample: Sample,
    index: int,
    collator: Collator,
    config: LisaConfig,
    accelerator: Accelerator,
) -> Iterator[tuple[int, Sequence[Turn], np.ndarray]]:
    """A few turns at a time: number of the first, the turns, their masks (n, H, W) bool."""
    for first in range(0, len(sample.turns), TURNS_AT_ONCE):
        turns = sample.turns[first : first + TURNS_AT_ONCE]
        batch = collator([validation_item(sample, turns, config, str(index))]).to(accelerator.device)
        (logits,) = objective(batch, predict=True)
        yield first, turns, (logits > 0).cpu().numpy()


def _draw(path: Path, sample: Sample, turn: Turn, mask: np.ndarray, iou: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    result = SegmentationResult(turn.question, "", (Target("", SEGMENTED, mask),))
    truth = truth_of(turn)
    write_image(path, annotated_picture(sample.image, result, truth=truth, iou=iou))


def scores(metrics: SegmentationMetrics) -> dict[str, float]:
    """What is logged of a validation."""
    return {"giou": round(metrics.giou, 6), "ciou": round(metrics.ciou, 6)}
