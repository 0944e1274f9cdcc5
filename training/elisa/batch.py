"""Examples of ELISA's training -> a batch: one conversation and the candidate masks of one image in each row."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lisa_ros.errors import ConfigurationError
from lisa_ros.model.elisa.rendering import ElisaWording, render_turn
from lisa_ros.model.elisa.tokenizer import IMAGE_WORD, MASK_WORDS, ElisaTokenizer
from lisa_ros.model.preprocess import ClipPreprocessor


@dataclass(frozen=True)
class ElisaExample:
    """One question about one image.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        query: What is asked.
        explanation: Why the answer is right.
        positives: (P, D) AlphaCLIP embeddings of the targets' masks, at least one.
        negatives: (N, D) those of other candidates.
        overlaps: (P, P + N) IoU of each target with every candidate, for soft positives; None where it is not known.
    """

    image: np.ndarray
    query: str
    explanation: str
    positives: Tensor
    negatives: Tensor
    overlaps: Tensor | None = None


@dataclass(frozen=True)
class ElisaBatch:
    """What the objective takes.

    Attributes:
        ids: (B, L) left-padded ids of the conversations without their last token.
        attention_mask: (B, L) bool, False at padding.
        labels: (B, T) ids of the answers with what ends them, right-aligned, padded at the left.
        pixels: (B, 3, S, S) images.
        embeddings: (K, D): the targets' of the first image, of the second ..., then the other candidates' likewise.
        owners: For each of the K candidates the row of its image.
        positives: How many of them are targets.
        overlaps: (positives, K) IoU of each target with the candidates of its image, 0 with others; None without.
    """

    ids: Tensor
    attention_mask: Tensor
    labels: Tensor
    pixels: Tensor
    embeddings: Tensor
    owners: tuple[int, ...]
    positives: int
    overlaps: Tensor | None = None

    def to(self, device: torch.device) -> "ElisaBatch":
        """The same on a device."""
        moved = {
            name: value.to(device) if isinstance(value := getattr(self, name), Tensor) else value
            for name in self.__dataclass_fields__
        }
        return ElisaBatch(**moved)


class ElisaCollator:
    """Renders, tokenises and pads.

    Args:
        tokenizer: Of the network.
        preprocess: Of the image for the LLaVA.
        wording: See ElisaWording.
        unknown: Share of input tokens, those of the image excepted, that are replaced by `<unk>`.
        exact: The tokens of an answer stand behind the prompt as they are learnt. False as in the official code, where
            the chat template words the whole turn, and takes the mask from the beginning of an answer.
    """

    def __init__(
        self,
        tokenizer: ElisaTokenizer,
        preprocess: ClipPreprocessor,
        *,
        wording: ElisaWording | None = None,
        unknown: float = 0.0,
        exact: bool = True,
    ) -> None:
        self.tokenizer, self.preprocess, self.exact = tokenizer, preprocess, exact
        self.wording, self.unknown = wording or ElisaWording(), unknown

    def __call__(self, examples: Sequence[ElisaExample], rng: np.random.Generator) -> ElisaBatch:
        """A batch; equal draws of `rng` give equal batches. Raises ConfigurationError for too many candidates."""
        batch = self.collate(examples, lambda: float(rng.random()), lambda count: int(rng.integers(count)))
        if not self.unknown:
            return batch
        dropped = torch.from_numpy(rng.random(batch.ids.shape) < self.unknown) & (batch.ids != self.tokenizer.image_id)
        ids = batch.ids.masked_fill(dropped, self.tokenizer.unk_id)
        return ElisaBatch(**{**vars(batch), "ids": ids})

    def collate(
        self, examples: Sequence[ElisaExample], uniform: Callable[[], float], choose: Callable[[int], int]
    ) -> ElisaBatch:
        """The batch before tokens are dropped; the draws are those of `render_turn`."""
        rows = [(len(one.positives), len(one.negatives)) for one in examples]
        if sum(map(sum, rows)) > MASK_WORDS:
            raise ConfigurationError(
                f"a batch has {sum(map(sum, rows))} candidate masks, ELISA has words for {MASK_WORDS}; lower "
                "batch.size or data.candidates"
            )
        prompts, labels, number = [], [], 1
        for one in examples:
            numbers = range(number, number + len(one.positives))
            number += len(one.positives)
            question, answer = render_turn(one.query, one.explanation, numbers, self.wording, uniform, choose)
            question = f"{IMAGE_WORD}\n{question}"
            labels.append(self.tokenizer.encode(answer + self.tokenizer.end_of_turn))
            if self.exact:  # as in answering: the prompt, then the tokens of the answer
                prompt = self.tokenizer.encode_prompt(self.tokenizer.render([(question, None)]))
                prompts.append([*prompt, *labels[-1]])
            else:
                prompts.append(self.tokenizer.encode_prompt(self.tokenizer.render([(question, answer)])))
        ids = _left_padded(prompts, self.tokenizer.pad_id)
        lengths = torch.tensor([len(prompt) for prompt in prompts])
        attended = torch.arange(ids.shape[1]) >= ids.shape[1] - lengths[:, None]
        owners = [row for part in (0, 1) for row, counts in enumerate(rows) for _ in range(counts[part])]
        return ElisaBatch(
            ids[:, :-1],
            attended[:, :-1],
            _left_padded(labels, self.tokenizer.pad_id),
            torch.cat([self.preprocess(one.image) for one in examples]),
            torch.cat([one.positives for one in examples] + [one.negatives for one in examples]),
            tuple(owners),
            sum(positives for positives, _ in rows),
            placed_overlaps(examples, owners),
        )


def _left_padded(rows: Sequence[Sequence[int]], pad: int) -> Tensor:
    width = max(map(len, rows))
    return torch.tensor([[pad] * (width - len(row)) + list(row) for row in rows])


def placed_overlaps(examples: Sequence[ElisaExample], owners: Sequence[int]) -> Tensor | None:
    """Overlaps of a batch's targets with all its candidates, see ElisaBatch; None where an example lacks them."""
    if any(one.overlaps is None for one in examples):
        return None
    first, total = 0, sum(len(one.positives) for one in examples)
    placed = torch.zeros(total, len(owners))
    for row, one in enumerate(examples):
        columns = [column for column, owner in enumerate(owners) if owner == row]
        for index in range(len(one.positives)):
            placed[first + index, columns] = one.overlaps[index].float()
        first += len(one.positives)
    return placed
