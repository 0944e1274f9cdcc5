"""Sheets of pictures: what each system answers about the same scenes, and an ELISA's answers with masks in place."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from lisa_ros.geometry.proposals import Proposals
from lisa_ros.inference.engine import Lisa
from lisa_ros.model.saving import write_atomically
from lisa_ros.simulator import Scene
from lisa_ros.types import SEGMENTED, MaskReady, Sample, Target, TextDelta
from lisa_ros.visualization import load_font, wrap
from training.comparison.answer_sheet import ANSWER_SHEET, answer_sheet, enlarged
from training.comparison.answers import scene_seeds
from training.comparison.choosers.config import ChooserComparisonConfig
from training.comparison.choosers.points import read_point_sam
from training.comparison.choosers.pools import generated, noisy_truth
from training.comparison.choosers.score_system import answer_target, read_answers
from training.comparison.choosers.systems import trained_engine
from training.comparison.world import phrase_sample, scene_of

INTERLEAVED_SHEET = "interleaved.jpg"
_MARGIN, _LINE = 12, 23


@dataclass(frozen=True)
class Said:
    """One answer of an ELISA.

    Attributes:
        question: What was asked.
        answer: The words, with the number of a candidate in square brackets where it was said.
        masks: number -> (H, W) bool.
    """

    question: str
    answer: str
    masks: dict[int, np.ndarray]


def draw_answers(config: ChooserComparisonConfig) -> None:
    """Writes answers.jpg, a row for each scene with generated proposals, and interleaved.jpg of the best ELISA."""
    sam = read_point_sam(config)
    shown = scene_seeds(config)[: config.evaluation.pictures]
    scenes = [scene_of(config.world, seed) for seed in shown]
    samples = [phrase_sample(config.world, scene, config.evaluation.phrases) for scene in scenes]
    pools = [generated(config, sam, scene) for scene in scenes]
    rows: list[list[Image.Image]] = [[_proposal_picture(*pair)] for pair in zip(scenes, pools, strict=True)]
    speaker = _best_elisa(config)
    interleaved: list[tuple[np.ndarray, list[Said]]] = []
    for system in config.systems:
        lisa, question = trained_engine(config, system)
        for row, sample, proposals in zip(rows, samples, pools, strict=True):
            frame = lisa.encode(sample.image, None if system.system == "lisa" else proposals)
            targets = [
                answer_target(lisa, frame, turn.question, question, config.evaluation.max_new_tokens)
                for turn in sample.turns
            ]
            row.append(enlarged(sample.image, targets))
        if system.name == speaker:
            interleaved = [
                (sample.image, _said(config, lisa, question, sample, noisy_truth(config.pools, scene)))
                for sample, scene in zip(samples, scenes, strict=True)
            ]
    captions = [f"asked: {', '.join(turn.question for turn in sample.turns)}" for sample in samples]
    sheet = answer_sheet(rows, captions, ["proposals", *config.names])
    write_atomically(config.run_dir / ANSWER_SHEET, lambda path: sheet.save(path, "JPEG", quality=88))
    if interleaved:
        page = _interleaved_sheet(interleaved)
        write_atomically(config.run_dir / INTERLEAVED_SHEET, lambda path: page.save(path, "JPEG", quality=88))


def _best_elisa(config: ChooserComparisonConfig) -> str | None:
    """Name of the ELISA with the highest gIoU; None without one."""
    overlaps = {
        system.name: [row.iou for row in read_answers(config, system.name)]
        for system in config.systems
        if system.system == "elisa"
    }
    return max(overlaps, key=lambda name: np.mean(overlaps[name] or [0.0]), default=None)


def _proposal_picture(scene: Scene, proposals: Proposals) -> Image.Image:
    targets = [Target(str(number), SEGMENTED, mask) for number, mask in enumerate(proposals.masks)]
    return enlarged(scene.image, targets)


def _said(
    config: ChooserComparisonConfig,
    lisa: Lisa,
    question: Callable[[str], str],
    sample: Sample,
    proposals: Proposals,
) -> list[Said]:
    frame, found = lisa.encode(sample.image, proposals), []
    for turn in sample.turns:
        asked, words, chosen = question(turn.question), "", {}
        for event in lisa.stream(frame, asked, max_new_tokens=config.evaluation.max_new_tokens):
            if isinstance(event, TextDelta):
                words += event.text
            elif isinstance(event, MaskReady):
                number = event.target.candidate.index + 1
                words = f"{words.rstrip()} [{number}]"
                chosen[number] = event.target.mask
        found.append(Said(asked, words, chosen))
    return found


def _interleaved_sheet(scenes: Sequence[tuple[np.ndarray, list[Said]]]) -> Image.Image:
    """For each scene its picture with the masks that were said, and beside it questions and answers."""
    panels = []
    for image, said in scenes:
        masks = {number: mask for one in said for number, mask in one.masks.items()}
        panels.append((enlarged(image, [Target(f"[{n}]", SEGMENTED, mask) for n, mask in sorted(masks.items())]), said))
    width, height = panels[0][0].size
    sheet = Image.new("RGB", (2 * width + _MARGIN, len(panels) * (height + _MARGIN) - _MARGIN), "white")
    draw = ImageDraw.Draw(sheet)
    for row, (picture, said) in enumerate(panels):
        top = row * (height + _MARGIN)
        sheet.paste(picture, (0, top))
        y = top + _MARGIN
        for one in said:
            for text, font, ink in ((one.question, load_font(15), "dimgrey"), (one.answer, load_font(17), "black")):
                for line in wrap(text, font, width - _MARGIN):
                    draw.text((width + 2 * _MARGIN, y), line, font=font, fill=ink)
                    y += _LINE
            y += _LINE // 2
    return sheet
