"""Several independent conversations about one image in one sequence.

The prompt up to the end of the image block is shared: it is computed once, and every question follows it in a block of
its own that sees the shared part and itself only, with positions that start again after the shared part. The result for
each block equals that of a sequence of its own, at a fraction of the work.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from training.data.collate import IGNORE_INDEX

PADDING_BLOCK = -1
SHARED_BLOCK = 0


@dataclass(frozen=True)
class PackedConversation:
    """Token ids after the shared prefix: `prompt` to the role separator, `answer` with its end-of-sentence token.

    masks: for each [SEG] of the answer, the number of its target mask.
    """

    prompt: list[int]
    answer: list[int]
    masks: list[int]


@dataclass(frozen=True)
class PackedBatch:
    """B images, L positions after the visual tokens were spliced in.

    ids (B, L) with 0 where a visual token or padding stands; visual: (first, last) position of the visual tokens;
    labels (B, L) already shifted: labels[b, i] is the token that position i must predict;
    positions (B, L); blocks (B, L): 0 shared, k = k-th conversation, -1 padding;
    states (n, 2): image and position of the state that predicts each [SEG]; masks (n,): number of the target mask.
    """

    ids: Tensor
    visual: tuple[int, int]
    labels: Tensor
    positions: Tensor
    blocks: Tensor
    states: Tensor
    masks: Tensor

    def attention_mask(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """Additive mask (B, 1, L, L): causal, within the own block and the shared one."""
        length = self.blocks.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=self.blocks.device).tril()
        rows, columns = self.blocks[:, :, None], self.blocks[:, None, :]
        allowed = causal & ((columns == SHARED_BLOCK) | (columns == rows))
        return torch.zeros(allowed.shape, dtype=dtype, device=allowed.device).masked_fill(
            ~allowed, torch.finfo(dtype).min
        )[:, None]


def pack(
    before: Sequence[int],
    visual_tokens: int,
    after: Sequence[int],
    conversations: Sequence[Sequence[PackedConversation]],
    seg_id: int,
) -> PackedBatch:
    """Packs the conversations of each image behind `before + visual tokens + after`."""
    shared = [*before, *[0] * visual_tokens, *after]
    rows = []
    states, masks = [], []
    for image, talks in enumerate(conversations):
        ids, labels = list(shared), [IGNORE_INDEX] * len(shared)
        positions, blocks = list(range(len(shared))), [SHARED_BLOCK] * len(shared)
        for block, talk in enumerate(talks, start=1):
            tokens = talk.prompt + talk.answer
            start = len(ids)
            answered = start + len(talk.prompt) - 1
            ids += tokens
            positions += range(len(shared), len(shared) + len(tokens))
            blocks += [block] * len(tokens)
            labels += [IGNORE_INDEX] * (len(talk.prompt) - 1) + talk.answer + [IGNORE_INDEX]
            states += [(image, answered + i) for i, token in enumerate(talk.answer) if token == seg_id]
            masks += talk.masks
        rows.append((ids, labels, positions, blocks))
    length = max(len(ids) for ids, *_ in rows)

    def stacked(column: int, padding: int) -> Tensor:
        return torch.tensor([row[column] + [padding] * (length - len(row[column])) for row in rows])

    return PackedBatch(
        ids=stacked(0, 0),
        visual=(len(before), len(before) + visual_tokens),
        labels=stacked(1, IGNORE_INDEX),
        positions=stacked(2, 0),
        blocks=stacked(3, PADDING_BLOCK),
        states=torch.tensor(states, dtype=torch.long).reshape(-1, 2),
        masks=torch.tensor(masks, dtype=torch.long),
    )
