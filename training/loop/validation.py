"""LISA's teacher-forced validation: the style's answer is given ("[SEG]."), its mask is scored (gIoU, cIoU)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import nn

from lisa_ros.errors import DatasetError, InvalidImageError
from lisa_ros.evaluation.metrics import SegmentationMetrics, union_truth
from lisa_ros.geometry.proposals import Proposals
from lisa_ros.images import write_image
from lisa_ros.model.config import LisaConfig
from lisa_ros.model.styles import MASK_ANSWER, get_style
from lisa_ros.progress import ProgressBar
from lisa_ros.types import SEGMENTED, Sample, SegmentationResult, Target, Turn
from lisa_ros.visualization import annotated_picture
from training.data.collate import Batch, Collator
from training.data.items import TrainingItem
from training.errors import BadItemError, TrainingError

TURNS_AT_ONCE = 8


def validation_item(sample: Sample, turns: Sequence[Turn], config: LisaConfig, key: str) -> TrainingItem:
    """Turns of one image as the official validation asks them: one conversation each, with the style's answer.

    Args:
        sample: The image with its questions.
        turns: Those of the questions that are asked.
        config: Configuration of the network, which has the wording of a mask query.
        key: Name of the image, for messages.

    Returns:
        The item; its masks are those of `union_truth` and have the size of the image.
    """
    style, talks = get_style(config.style), []
    for turn in turns:
        prompt = style.turn_prompt(turn.question, config.mask_query, sentence=turn.is_sentence)
        talks.append(((prompt.question, prompt.answer or MASK_ANSWER),))
    size = sample.image.shape[:2]
    masks = [np.zeros(size, bool) if (truth := union_truth(turn)) is None else truth for turn in turns]
    return TrainingItem(
        image=sample.image,
        conversations=tuple(talks),
        masks=np.stack(masks),
        ignore=None,
        source=sample.source,
        key=key,
        proposals=sample.proposals,
    )


@dataclass(frozen=True)
class ValidationResult:
    """The result of a validation.

    Attributes:
        metrics: Sums over all scored turns.
        left_out: Why images could not be scored, one reason per image.
    """

    metrics: SegmentationMetrics
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class _TurnChunk:
    """Some turns of image number `index`, from turn `first` on, and their batch."""

    index: int
    first: int
    sample: Sample
    turns: Sequence[Turn]
    batch: Batch


def validate(
    objective: nn.Module,
    samples: Sequence[Sample],
    collator: Collator,
    config: LisaConfig,
    accelerator: Accelerator,
    max_images: int | None = None,
    pictures: Path | None = None,
    picture_count: int = 0,
    skip_limit: int = 0,
) -> ValidationResult:
    """Scores every turn of the samples exactly once, shared among the processes; all of them get the same result.

    Args:
        objective: The network with its losses, as the accelerator has prepared it.
        samples: Images with their questions.
        collator: Makes batches for the network.
        config: Configuration of the network.
        accelerator: Of this process.
        max_images: Score only the first images; None for all.
        pictures: Directory for sample predictions, None for none.
        picture_count: Number of images with sample predictions; each turn gives one file.
        skip_limit: Number of images that may be unreadable.

    Returns:
        Metrics and skipped images.

    Raises:
        TrainingError: If more images than `skip_limit` cannot be scored, or none can.
    """
    rank, world = accelerator.process_index, accelerator.num_processes
    count = min(len(samples), max_images or len(samples))
    was_training, metrics = objective.training, SegmentationMetrics()
    left_out: list[str] = []
    parts = _parts(samples, range(rank, count, world), collator, config, left_out)
    objective.eval()
    bar = ProgressBar(count, unit="image", description="validation", active=rank == 0, keep=False)
    with torch.no_grad(), bar:
        while _any_process_has_work(part := next(parts, None), accelerator):
            # Images have different numbers of turns: a process that has run out computes for the others, whose
            # buffers are broadcast and whose sharded weights are gathered in each forward pass.
            batch = part.batch if part else _placeholder_batch(collator, config)
            (logits,) = objective(batch.to(accelerator.device), predict=True)
            if part is None:
                continue
            bar.advance(min(part.index + world, count))
            folder = pictures if part.index < picture_count else None
            _score(metrics, part, (logits > 0).cpu().numpy(), folder)
    objective.train(was_training)
    total, reasons = SegmentationMetrics(), []
    for theirs, why in gather_object([(metrics, left_out)]):
        total.merge(theirs)
        reasons += why
    if reasons and not total.queries:
        raise TrainingError(
            f"none of {count} images can be scored, so there is no score; look at data.root and at these files, the "
            f"last ones: {'; '.join(reasons[-3:])}"
        )
    if len(reasons) > skip_limit:
        raise TrainingError(
            f"{len(reasons)} of {count} images cannot be scored (data.skip_limit is {skip_limit}); "
            f"the last ones: {'; '.join(reasons[-3:])}"
        )
    return ValidationResult(total, tuple(reasons))


def _parts(
    samples: Sequence[Sample],
    numbers: Sequence[int],
    collator: Collator,
    config: LisaConfig,
    left_out: list[str],
) -> Iterator[_TurnChunk]:
    """The images, a few turns at a time. Why an image cannot be scored is added to `left_out`."""
    for index in numbers:
        try:
            sample = samples[index]
            yield from [
                _TurnChunk(index, first, sample, turns, collator([validation_item(sample, turns, config, str(index))]))
                for first in range(0, len(sample.turns), TURNS_AT_ONCE)
                for turns in [sample.turns[first : first + TURNS_AT_ONCE]]
            ]
        except (BadItemError, DatasetError, InvalidImageError) as error:
            left_out.append(str(error))


def _any_process_has_work(part: _TurnChunk | None, accelerator: Accelerator) -> bool:
    """Whether any process has something to score."""
    if accelerator.num_processes == 1:
        return part is not None
    mine = torch.tensor(float(part is not None), device=accelerator.device)
    return bool(accelerator.reduce(mine, "sum") > 0)


def _placeholder_batch(collator: Collator, config: LisaConfig) -> Batch:
    """Something to compute that is not scored."""
    image = np.zeros((64, 64, 3), np.uint8)
    turn = Turn("thing", (), MASK_ANSWER)
    sample = Sample(image, (turn,), "nothing", proposals=Proposals(*image.shape[:2]))
    return collator([validation_item(sample, (turn,), config, "0")])


def _score(metrics: SegmentationMetrics, part: _TurnChunk, masks: np.ndarray, pictures: Path | None) -> None:
    """masks: (n, H, W) bool, one for each turn."""
    for number, (turn, mask) in enumerate(zip(part.turns, masks, strict=True), part.first):
        iou = metrics.add(mask, union_truth(turn, part.sample.ignore))
        if pictures is not None:
            _draw(pictures / f"{part.index:04d}_{number}.png", part.sample, turn, mask, iou)


def _draw(path: Path, sample: Sample, turn: Turn, mask: np.ndarray, iou: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    result = SegmentationResult(turn.question, "", (Target("", SEGMENTED, mask),))
    truth = union_truth(turn)
    write_image(path, annotated_picture(sample.image, result, truth=truth, iou=iou))


def scores(metrics: SegmentationMetrics) -> dict[str, float]:
    """What is logged of a validation."""
    return {"giou": round(metrics.giou, 6), "ciou": round(metrics.ciou, 6)}
