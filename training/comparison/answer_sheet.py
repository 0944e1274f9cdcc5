"""A sheet of pictures: what each style answers about the same scenes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw

from lisa_ros.evaluation.benchmarks.phrases import PhraseAnswer, ask_phrases
from lisa_ros.evaluation.metrics import union_truth
from lisa_ros.inference.engine import Lisa
from lisa_ros.model.saving import write_atomically
from lisa_ros.types import ABSENT, SEGMENTED, Sample, SegmentationResult, Target
from lisa_ros.visualization import draw_overlay, load_font
from training.comparison.answers import FIRST_SCENE
from training.comparison.config import ComparisonConfig
from training.comparison.world import phrase_sample, scene_of

ANSWER_SHEET = "answers.jpg"
_SCALE, _GAP, _HEADING, _CAPTION = 2, 6, 26, 24


def draw_answers(config: ComparisonConfig, checkpoints: Mapping[str, Path]) -> None:
    """Writes run_dir/answers.jpg: a row of pictures for each scene, in each what one style generates about all phrases.

    Args:
        config: Of the comparison.
        checkpoints: style -> its checkpoint.
    """
    seeds = range(FIRST_SCENE, FIRST_SCENE + config.evaluation.pictures)
    samples = [phrase_sample(config.world, scene_of(config.world, seed), config.evaluation.phrases) for seed in seeds]
    rows: list[list[Image.Image]] = [[] for _ in samples]
    for checkpoint in checkpoints.values():
        lisa = Lisa.from_pretrained(checkpoint, device="cpu", threads=1)
        for row, sample in zip(rows, samples, strict=True):
            truths = [union_truth(turn) for turn in sample.turns]
            answers = ask_phrases(lisa, sample, truths, "generative", config.evaluation.max_new_tokens)
            row.append(_picture(sample.image, answers))
    sheet = answer_sheet(rows, [_asked(sample) for sample in samples], list(checkpoints))
    write_atomically(config.run_dir / ANSWER_SHEET, lambda path: sheet.save(path, "JPEG", quality=88))


def _asked(sample: Sample) -> str:
    """The phrases, and which of them are absent."""
    there = [any(target.mask is not None for target in turn.targets) for turn in sample.turns]
    named = [
        turn.question if one else f"{turn.question} (absent)" for turn, one in zip(sample.turns, there, strict=True)
    ]
    return "asked: " + ", ".join(named)


def _picture(image: np.ndarray, answers: Sequence[PhraseAnswer]) -> Image.Image:
    targets = []
    for answer in answers:
        shown = np.zeros(image.shape[:2], bool) if answer.rejected else answer.logits > 0
        targets.append(Target(answer.phrase, ABSENT if answer.rejected else SEGMENTED, shown))
    return enlarged(image, targets)


def enlarged(image: np.ndarray, targets: Sequence[Target]) -> Image.Image:
    """A picture of targets on their image (H, W, 3) uint8, at twice its size."""
    size = image.shape[1] * _SCALE, image.shape[0] * _SCALE
    larger = [
        replace(one, mask=cv2.resize(one.mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST).astype(bool))
        for one in targets
    ]
    canvas = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC)
    return Image.fromarray(draw_overlay(canvas, SegmentationResult("", "", tuple(larger))))


def answer_sheet(rows: list[list[Image.Image]], captions: list[str], headings: list[str]) -> Image.Image:
    """Pictures of one size in rows, with a caption above each row and a heading above each column."""
    width, height = rows[0][0].size
    step = height + _CAPTION + _GAP
    sheet = Image.new("RGB", (len(headings) * (width + _GAP) - _GAP, _HEADING + len(rows) * step), "white")
    draw = ImageDraw.Draw(sheet)
    for column, heading in enumerate(headings):
        draw.text((column * (width + _GAP) + 4, 3), heading, font=load_font(18, bold=True), fill="black")
    for number, (row, caption) in enumerate(zip(rows, captions, strict=True)):
        top = _HEADING + number * step
        draw.text((4, top + 3), caption, font=load_font(15), fill="black")
        for column, picture in enumerate(row):
            sheet.paste(picture, (column * (width + _GAP), top + _CAPTION))
    return sheet
