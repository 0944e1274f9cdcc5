"""ELISA on the packaged model: scenes as packed conversations whose answers hold words for masks, and their losses."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from lisa_ros.geometry.proposals import Proposals, mask_iou
from lisa_ros.model.elisa.network import owners_mask
from lisa_ros.model.elisa.rendering import ElisaWording, render_turn
from lisa_ros.model.elisa.tokenizer import IMAGE_WORD
from lisa_ros.model.saving import write_atomically
from lisa_ros.simulator import Scene
from lisa_ros.types import Sample, Turn
from training.comparison.choosers.config import ChooserComparisonConfig, ChooserConfig
from training.comparison.choosers.elisa_base import MaskEmbedder, PackagedElisa, PackagedElisaTokenizer
from training.comparison.choosers.pools import noisy_truth
from training.data.collate import IGNORE_INDEX
from training.elisa.batch import ElisaBatch, ElisaExample, placed_overlaps
from training.elisa.objective import ElisaLossConfig, ElisaObjective
from training.tabletop.packing import PackedBatch, PackedConversation, pack
from training.tabletop.scenes import normalise

# The packaged language model's logits mean what they say at temperature 1.
LOSS = ElisaLossConfig(temperature=1.0)
ONE_WORDING = ElisaWording(lead_ins=("The mask you want is",), requests=("Show me the mask",), position="before")
_ASKED = ("Where is the {text}?", "Which thing is the {text}?", "I am looking for the {text}.", "Find the {text}.")
_COPY = 0.95  # IoU above which a proposal is a copy of the truth


@dataclass(frozen=True)
class MaskWordBatch:
    """B scenes.

    Attributes:
        images: (B, 3, 256, 256) normalised.
        packed: The conversations; words for masks have ids that count all targets of the batch.
        answers: What the loss takes; its labels (B, T) are all labelled tokens of a scene.
    """

    images: Tensor
    packed: PackedBatch
    answers: ElisaBatch


class MaskWordCollator:
    """Renders scenes as ELISA's training does: the truth and proposals that are no copies of it are candidates.

    Args:
        config: Of the comparison.
        system: Which wording and embedding.
        tokenizer: Of the network.
        embedder: Masks -> embeddings; what it gave for a scene is kept in run_dir.
        visual_tokens: Of an image.
    """

    def __init__(
        self,
        config: ChooserComparisonConfig,
        system: ChooserConfig,
        tokenizer: PackagedElisaTokenizer,
        embedder: MaskEmbedder,
        visual_tokens: int,
    ) -> None:
        self.config, self.tokenizer, self.embedder, self.visual_tokens = config, tokenizer, embedder, visual_tokens
        self.varied = system.wording == "varied"
        self.wording = ElisaWording() if self.varied else ONE_WORDING
        self.folder = config.run_dir / "embeddings" / system.embedding

    def __call__(self, scenes: Sequence[tuple[Scene, Sample]], rng: np.random.Generator) -> MaskWordBatch:
        """The batch; equal draws give equal batches."""
        examples, talks, first = [], [], 0
        for scene, sample in scenes:
            ids = sorted({target.instance_id for turn in sample.turns for target in turn.targets})
            examples.append(self.example(scene, ids))
            numbers = {instance: first + number for number, instance in enumerate(ids, start=1)}
            order = [sample.turns[int(index)] for index in rng.permutation(len(sample.turns))]
            talks.append([self._talk(turn, numbers, rng) for turn in order])
            first += len(ids)
        before, after = self._shared()
        packed = pack(before, self.visual_tokens, after, talks, IGNORE_INDEX)
        counts = [(len(one.positives), len(one.negatives)) for one in examples]
        owners = [row for part in (0, 1) for row, count in enumerate(counts) for _ in range(count[part])]
        images = torch.stack([normalise(scene.image) for scene, _ in scenes])
        labels = [row[row != IGNORE_INDEX] for row in packed.labels]
        answers = ElisaBatch(
            packed.ids,
            packed.blocks >= 0,
            nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=self.tokenizer.unk_id),
            images,
            torch.cat([one.positives for one in examples] + [one.negatives for one in examples]),
            tuple(owners),
            sum(positives for positives, _ in counts),
            placed_overlaps(examples, owners),
        )
        return MaskWordBatch(images, packed, answers)

    def question(self, text: str, rng: np.random.Generator | None = None) -> str:
        """How the system is asked for a phrase; one that was taught many wordings is asked in the first of them."""
        asked = _ASKED[int(rng.integers(len(_ASKED)))] if rng is not None and self.varied else _ASKED[0]
        return asked.format(text=text)

    def _talk(self, turn: Turn, numbers: dict[int, int], rng: np.random.Generator) -> PackedConversation:
        said = [numbers[target.instance_id] for target in turn.targets]
        reason = f"It is the {turn.question}." if len(said) == 1 else f"They are the {turn.question}."
        question, answer = render_turn(
            self.question(turn.question, rng), reason, said, self.wording, lambda: float(rng.random()),
            lambda count: int(rng.integers(count)),
        )  # fmt: skip
        prompt = self.tokenizer.encode_prompt(self.tokenizer.render([(f"{IMAGE_WORD}\n{question}", None)]))
        shared = len(self._shared()[0]) + 1 + len(self._shared()[1])
        return PackedConversation(prompt[shared:], [*self.tokenizer.encode(answer.strip()), self.tokenizer.eos_id], [])

    def _shared(self) -> tuple[list[int], list[int]]:
        """Ids before and after the image, equal in all prompts."""
        one, other = (
            self.tokenizer.encode_prompt(self.tokenizer.render([(f"{IMAGE_WORD}\n{text}", None)]))
            for text in ("What?", "Show it.")
        )
        image = one.index(self.tokenizer.image_id)
        same = next(place for place, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1])
        return one[:image], one[image + 1 : same]

    def example(self, scene: Scene, ids: Sequence[int]) -> ElisaExample:
        """Embeddings of a scene's candidates; the targets are the objects of those ids."""
        truth = np.stack([scene.mask(instance) for instance in ids])
        others = noisy_truth(self.config.pools, scene).without_copies(list(truth), _COPY)
        embeddings = self._embedded(scene, np.concatenate([truth, others.masks]))
        return ElisaExample(
            scene.image, "", "", embeddings[: len(ids)], embeddings[len(ids) :], _overlaps(truth, others)
        )

    def _embedded(self, scene: Scene, masks: np.ndarray) -> Tensor:
        path = self.folder / f"{scene.seed}.pt"
        if path.is_file():
            return torch.load(path, weights_only=True)
        found = self.embedder(scene.image, masks)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda part: torch.save(found, part))
        return found


def _overlaps(truth: np.ndarray, others: Proposals) -> Tensor:
    masks = [*truth, *others.masks]
    return torch.tensor([[mask_iou(one, mask) for mask in masks] for one in truth])


class MaskWordStage(nn.Module):
    """An ELISA with its losses on packed conversations."""

    def __init__(self, network: PackagedElisa, tokenizer: PackagedElisaTokenizer) -> None:
        super().__init__()
        self.network, self.pad_id = network, tokenizer.unk_id
        self.network.set_attention("eager")
        self._clock = time.process_time()

    def losses(self, batch: MaskWordBatch) -> dict[str, Tensor]:
        """ELISA's loss, and for the log which share of the words for masks is right, and the core seconds."""
        network, packed, answers = self.network, batch.packed, batch.answers
        rows = network.rows(answers.embeddings)
        first, last = packed.visual
        inputs = network.embed(packed.ids, rows)
        inputs = torch.cat([inputs[:, :first], network.visual_tokens(batch.images), inputs[:, last:]], dim=1)
        hidden = network.hidden_states(
            inputs, attention_mask=packed.attention_mask(inputs.dtype), position_ids=packed.positions
        )
        states = [row[labels != IGNORE_INDEX] for row, labels in zip(hidden, packed.labels, strict=True)]
        padded = nn.utils.rnn.pad_sequence(states, batch_first=True)
        objective = ElisaObjective(network, LOSS, self.pad_id)
        found = objective.answer_losses(hidden, padded, rows, answers)
        began, self._clock = self._clock, time.process_time()
        return {
            "loss": found.loss,
            "mask_words": self._right_share(found.logits.detach(), answers),
            "core_seconds": torch.tensor(self._clock - began),
        }

    def _right_share(self, logits: Tensor, answers: ElisaBatch) -> Tensor:
        """Share of a mask's words in whose place a candidate of its own scene is said that covers nearly the same."""
        index = answers.labels - self.network.first_candidate
        image, place = (index >= 0).nonzero(as_tuple=True)
        count = len(answers.owners)
        said = logits[image, place].argmax(dim=-1) - self.network.first_candidate
        known = (said >= 0) & (said < count)
        own = owners_mask(answers.owners, len(logits), logits.device)
        said = said.clamp(0, count - 1)
        right = known & own[image, said] & (answers.overlaps[index[image, place], said] >= LOSS.soft_iou)
        return right.float().mean()
