"""One trained style answers questions about new scenes, as a robot would ask it: every answer is generated."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lisa_ros.evaluation.benchmarks.phrases import ask_phrases
from lisa_ros.evaluation.metrics import overlap_of, union_truth
from lisa_ros.inference.engine import Lisa
from training.comparison.answers import append_answers, read_rows, scene_seeds
from training.comparison.config import ComparisonConfig
from training.comparison.world import phrase_sample, scene_of


@dataclass(frozen=True)
class PhraseRow:
    """What became of one phrase.

    Attributes:
        scene: Seed of its scene.
        phrase: The words.
        kind: "one" thing, "several", "nothing" or "false_premise".
        objects: Number of objects in the scene.
        pixels: Of the target; 0 for one that is absent.
        rejected: Whether the answer says, by a token, in words or by silence, that it is not there.
        found: Whether the prediction has any pixel.
        intersection: Pixels of prediction and truth.
        union: Pixels of prediction or truth.
        core_seconds: Of the encoder, the language model and the decoder, shared out among the phrases of the scene.
    """

    scene: int
    phrase: str
    kind: str
    objects: int
    pixels: int
    rejected: bool
    found: bool
    intersection: int
    union: int
    core_seconds: float

    @property
    def present(self) -> bool:
        """Whether the target is there."""
        return self.pixels > 0

    @property
    def iou(self) -> float:
        """Intersection over union; 1 where both are empty."""
        return self.intersection / self.union if self.union else 1.0


def score_style(config: ComparisonConfig, style: str, checkpoint: Path) -> None:
    """Asks about all scenes that `answers_path` does not hold yet.

    A scene's rows are written together, so that an interrupted run leaves whole scenes.
    """
    done = {row.scene for row in read_answers(config, style)}
    lisa = Lisa.from_pretrained(checkpoint, device="cpu", threads=1)
    for seed in scene_seeds(config):
        if seed not in done:
            append_answers(config, style, _rows(config, lisa, seed))


def _rows(config: ComparisonConfig, lisa: Lisa, seed: int) -> Iterator[PhraseRow]:
    scene = scene_of(config.world, seed)
    sample = phrase_sample(config.world, scene, config.evaluation.phrases)
    truths = [union_truth(turn) for turn in sample.turns]
    began = time.process_time()
    answers = ask_phrases(lisa, sample, truths, "generative", config.evaluation.max_new_tokens)
    seconds = (time.process_time() - began) / len(answers)
    for turn, truth, answer in zip(sample.turns, truths, answers, strict=True):
        mask = None if answer.rejected or answer.logits is None else answer.logits > 0
        overlap = overlap_of(mask, truth)
        yield PhraseRow(
            scene=seed,
            phrase=turn.question,
            kind=turn.kind,
            objects=len(scene.objects),
            pixels=0 if truth is None else int(truth.sum()),
            rejected=answer.rejected,
            found=overlap.found,
            intersection=overlap.intersection,
            union=overlap.union,
            core_seconds=seconds,
        )


def read_answers(config: ComparisonConfig, style: str) -> list[PhraseRow]:
    """See `read_rows`."""
    return read_rows(config, style, PhraseRow)
