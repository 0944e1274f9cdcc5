"""One trained system answers questions about new scenes, with each pool of proposals: every answer is generated."""

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from lisa_ros.evaluation.benchmarks.proposal_oracle import oracle_overlaps
from lisa_ros.evaluation.boundaries import boundary_f
from lisa_ros.evaluation.candidates.choices import right_candidates, score_choice
from lisa_ros.evaluation.metrics import overlap_of, union_truth
from lisa_ros.geometry.proposals import Proposals, mask_iou
from lisa_ros.inference.elisa.engine import ElisaEngine
from lisa_ros.inference.elisa.inspection import inspect_adapter
from lisa_ros.inference.engine import Lisa
from lisa_ros.inference.frame import EncodedFrame
from lisa_ros.simulator import Scene
from lisa_ros.types import SEGMENTED, Sample, Target
from training.comparison.answers import append_answers, read_rows, scene_seeds
from training.comparison.choosers.config import ChooserComparisonConfig, ChooserConfig
from training.comparison.choosers.points import read_point_sam
from training.comparison.choosers.pools import NOISY_TRUTH, POOLS, generated, noisy_truth
from training.comparison.choosers.systems import trained_engine
from training.comparison.world import phrase_sample, scene_of

_SHOWS = 0.5  # IoU from which on a candidate shows an object


@dataclass(frozen=True)
class ChoiceRow:
    """What became of one phrase.

    Attributes:
        scene: Seed of its scene.
        pool: What was chosen among; a system that draws has the same answers in each.
        phrase: The words.
        pixels: Of the target.
        objects: Number of objects in the scene.
        iou: Of the answer's mask and the target.
        boundary_f: Of both, see `boundary_f`.
        single: IoU of the best single proposal.
        union: IoU of the best union of proposals.
        precision: Of the chosen proposals those that cover a target's object; None for a system that draws.
        recall: Of those that do the chosen ones.
        f1: Harmonic mean of both.
        core_seconds: Of the answer; the image's encoding, without making proposals, shared out among its phrases.
        words: Of the scene's candidates that show an object those whose nearest word is its name; of an ELISA, and of
            the scene's first phrase only.
        shown: Those that show an object.
    """

    scene: int
    pool: str
    phrase: str
    pixels: int
    objects: int
    iou: float
    boundary_f: float
    single: float
    union: float
    precision: float | None
    recall: float | None
    f1: float | None
    core_seconds: float
    words: int = 0
    shown: int = 0


def score_system(config: ChooserComparisonConfig, system: ChooserConfig) -> None:
    """Asks about all scenes that `answers_path` does not hold yet; a scene's rows are written together."""
    done = {(row.scene, row.pool) for row in read_answers(config, system.name)}
    (lisa, question), sam = trained_engine(config, system), read_point_sam(config)
    for pool, seed in itertools.product(POOLS, scene_seeds(config)):
        if (seed, pool) in done:
            continue
        scene = scene_of(config.world, seed)
        sample = phrase_sample(config.world, scene, config.evaluation.phrases)
        proposals = noisy_truth(config.pools, scene) if pool == NOISY_TRUTH else generated(config, sam, scene)
        rows = _rows(config, system, lisa, question, scene, sample, pool, proposals)
        append_answers(config, system.name, rows)


def _rows(
    config: ChooserComparisonConfig,
    system: ChooserConfig,
    lisa: Lisa,
    question: Callable[[str], str],
    scene: Scene,
    sample: Sample,
    pool: str,
    proposals: Proposals,
) -> Iterator[ChoiceRow]:
    began = time.process_time()
    frame = lisa.encode(sample.image, None if system.system == "lisa" else proposals)
    encoding = (time.process_time() - began) / len(sample.turns)
    named = _named(lisa, frame, proposals, scene) if isinstance(lisa, ElisaEngine) else (0, 0)
    for number, turn in enumerate(sample.turns):
        began = time.process_time()
        target = answer_target(lisa, frame, turn.question, question, config.evaluation.max_new_tokens)
        seconds = encoding + time.process_time() - began
        truth = union_truth(turn)
        mask = target.mask if target.kind == SEGMENTED else np.zeros(truth.shape, bool)
        single, union = oracle_overlaps(proposals, truth, truth.shape)
        right = right_candidates(proposals, [one.mask for one in turn.targets])
        chosen = target.candidate.members if target.candidate else ()
        choice = None if system.system == "lisa" else score_choice(chosen, right, len(proposals))
        yield ChoiceRow(
            scene=scene.seed,
            pool=pool,
            phrase=turn.question,
            pixels=int(np.count_nonzero(truth == 1)),
            objects=len(scene.objects),
            iou=overlap_of(mask, truth).iou,
            boundary_f=boundary_f(mask, truth == 1),
            single=single.iou,
            union=union.iou,
            precision=choice and choice.precision,
            recall=choice and choice.recall,
            f1=choice and choice.f1,
            core_seconds=seconds,
            words=named[0] if number == 0 else 0,
            shown=named[1] if number == 0 else 0,
        )


def answer_target(
    lisa: Lisa, frame: EncodedFrame, phrase: str, question: Callable[[str], str], max_new_tokens: int
) -> Target:
    """What a generated answer says about a phrase, all its masks joined."""
    result = lisa.chat(frame, question(phrase), max_new_tokens=max_new_tokens)
    return lisa.model.about(frame).told_target(frame, phrase, result.targets)


def _named(lisa: ElisaEngine, frame: EncodedFrame, proposals: Proposals, scene: Scene) -> tuple[int, int]:
    """Candidates that show an object and have its name as nearest word, and all that show one."""
    names = []
    for mask in proposals.masks:
        best = max(scene.objects, key=lambda item: mask_iou(mask, scene.mask(item.id)))
        names.append([best.category] if mask_iou(mask, scene.mask(best.id)) >= _SHOWS else [])
    shown = sum(map(bool, names))
    if not shown:
        return 0, 0
    share = inspect_adapter(lisa, frame, count=1).share_named(names)
    return round(share * shown), shown


def read_answers(config: ChooserComparisonConfig, name: str) -> list[ChoiceRow]:
    """See `read_rows`."""
    return read_rows(config, name, ChoiceRow)
