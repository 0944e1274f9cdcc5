"""Phrases about scenes as packed conversations of a style, with the states and masks of its grounding events."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lisa_ros.model.checkpoint import Checkpoint
from lisa_ros.model.styles import RenderOptions
from lisa_ros.model.tokenizer import IMAGE_TOKEN_ID
from lisa_ros.simulator import Scene
from lisa_ros.types import EventKind, Sample, TruthTarget
from training.comparison.config import ComparisonBase
from training.comparison.world import phrase_sample, scene_of
from training.data.collate import IGNORE_INDEX, Collator
from training.errors import TrainingError
from training.model.network import visual_tokens
from training.tabletop.packing import PackedBatch, PackedConversation, pack
from training.tabletop.scenes import HEIGHT, IMAGE_SIZE, STRIDE, normalise

FIRST_SCENE = 20_000_000  # scenes that no stage of the tabletop recipe sees
MAX_LENGTH = 1024


@dataclass(frozen=True)
class PhraseBatch:
    """B scenes with packed conversations.

    Attributes:
        images: (B, 3, 256, 256) normalised.
        packed: The conversations; its `states` and `masks` are not used.
        events: (n, 2) int64, image and position of the state that each grounding event is read from.
        kinds: For each image the kinds of its events.
        masks: For each image (t, 48, 64) float32, share of each pixel at stride 4 that a target covers; one for each
            target, zeros for one that is absent.
        targets: For each image its t targets.
    """

    images: Tensor
    packed: PackedBatch
    events: Tensor
    kinds: tuple[tuple[EventKind, ...], ...]
    masks: tuple[Tensor, ...]
    targets: tuple[tuple[TruthTarget, ...], ...]


class PhraseCollator:
    """Renders samples in the style of a network."""

    def __init__(self, checkpoint: Checkpoint, phrases_per_question: int) -> None:
        config = checkpoint.network.config
        self.style = checkpoint.network.style
        self.visual_tokens = visual_tokens(checkpoint.network)
        self.collator = Collator(
            checkpoint.tokenizer,
            config,
            visual_tokens=self.visual_tokens,
            clip=None,
            max_length=MAX_LENGTH,
            use_ignore=True,
        )
        self.phrases_per_question = phrases_per_question

    def __call__(self, samples: Sequence[Sample], rng: np.random.Generator) -> PhraseBatch:
        """The batch of some samples."""
        talks, found_targets = [], []
        for sample in samples:
            row, targets = [], []
            turns = [sample.turns[int(number)] for number in rng.permutation(len(sample.turns))]
            for first in range(0, len(turns), self.phrases_per_question):
                group = turns[first : first + self.phrases_per_question]
                for conversation in self.style.render(group, RenderOptions(), rng):
                    row.append(self.collator.tokenize([(one.question, one.answer) for one in conversation], True))
                    targets += [target for one in conversation for target in one.targets]
            talks.append(row)
            found_targets.append(tuple(targets))
        first = talks[0][0].ids
        image = first.index(IMAGE_TOKEN_ID)
        shared = image + self.visual_tokens + int(self.collator.config.mm_use_im_start_end)
        before, after = first[:image], first[image + self.visual_tokens : shared]
        packed = pack(
            before,
            self.visual_tokens,
            after,
            [[self._packed(one.ids, one.labels, shared) for one in row] for row in talks],
            self.collator.tokenizer.seg_id,
        )
        kinds = self.collator.kinds
        events = torch.isin(packed.labels, torch.tensor(list(kinds))).nonzero()
        found = [tuple(kinds[int(packed.labels[i, p])] for i, p in events if i == b) for b in range(len(samples))]
        images = torch.stack([normalise(sample.image) for sample in samples])
        masks = tuple(map(_soft_masks, found_targets))
        return PhraseBatch(images, packed, events, tuple(found), masks, tuple(found_targets))

    @staticmethod
    def _packed(ids: list[int], labels: list[int], shared: int) -> PackedConversation:
        asked = next(position for position, label in enumerate(labels) if label != IGNORE_INDEX)
        if IGNORE_INDEX in labels[asked:]:
            raise TrainingError("a conversation of several turns; packed ones have one question each")
        return PackedConversation(ids[shared:asked], ids[asked:], [])


def _soft_masks(targets: Sequence[TruthTarget]) -> Tensor:
    full = torch.zeros(len(targets), HEIGHT, IMAGE_SIZE)
    for number, target in enumerate(targets):
        if target.mask is not None:
            full[number] = torch.from_numpy(target.mask).float()
    return F.avg_pool2d(full[:, None], STRIDE)[:, 0]


def phrase_batches(config: ComparisonBase, collator: PhraseCollator, first_step: int) -> Iterator[PhraseBatch]:
    """Endless batches from a step on. Scenes and phrases depend on the step alone, whatever the style is."""
    for scenes, rng in scene_batches(config, first_step):
        yield collator([sample for _, sample in scenes], rng)


def scene_batches(
    config: ComparisonBase, first_step: int
) -> Iterator[tuple[list[tuple[Scene, Sample]], np.random.Generator]]:
    """Endless: the scenes of each step with what is asked about them, and a source of draws, by the step alone."""
    size = config.training.batch_size
    for step in itertools.count(first_step):
        seeds = range(FIRST_SCENE + step * size, FIRST_SCENE + (step + 1) * size)
        scenes = [scene_of(config.world, seed) for seed in seeds]
        asked = [(scene, phrase_sample(config.world, scene, config.world.phrases)) for scene in scenes]
        yield [one for one in asked if one[1].turns], np.random.default_rng((29, step))
