"""What the adapter makes of candidate masks: the words of the language model that are nearest to each."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from lisa_ros.errors import ConfigurationError
from lisa_ros.inference.elisa.engine import ElisaEngine
from lisa_ros.inference.elisa.model import CandidateFrame

Similarity = Literal["product", "softmax", "cosine"]


@dataclass(frozen=True)
class NearWords:
    """Words that are near a candidate's row of the vocabulary.

    Attributes:
        ids: Tokens, the nearest first.
        words: Their texts, blanks at the ends taken off; of one without a text that can be read the token's own name,
            "<0xE2>", and of a padding row its number, "row 570".
        values: Similarities.
    """

    ids: tuple[int, ...]
    words: tuple[str, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class AdapterView:
    """The candidates of one image as the language model sees them.

    Attributes:
        near: For each candidate its nearest words.
        between: (K, K) similarities of the candidates with each other.
        columns: Number of rows of the vocabulary that were compared.
    """

    near: tuple[NearWords, ...]
    between: Tensor
    columns: int

    def share_named(self, names: Sequence[Collection[str]]) -> float:
        """Share of candidates whose nearest word is one of their names: whether masks are aligned with words.

        Args:
            names: For each candidate the names of what it shows, "mug", "cup"; empty for one that is not counted.

        Returns:
            The share; NaN where nothing is counted.
        """
        counted = [
            view.words[0].lower() in {name.lower() for name in own}
            for view, own in zip(self.near, names, strict=True)
            if own
        ]
        return sum(counted) / len(counted) if counted else float("nan")


@torch.inference_mode()
def inspect_adapter(
    lisa: ElisaEngine,
    frame: CandidateFrame,
    *,
    similarity: Similarity = "cosine",
    temperature: float = 1.0,
    count: int = 5,
) -> AdapterView:
    """Compares the rows of an image's candidates with the vocabulary's.

    Args:
        lisa: The engine.
        frame: What its `encode` returned.
        similarity: "product" of rows, their "cosine", or the product's "softmax" over the candidates, which tells for
            each word whose it is rather than for each candidate which word.
        temperature: Similarities, for softmax the products, are divided by it.
        count: Words of each candidate.

    Returns:
        The nearest words and the similarities among the candidates.

    Raises:
        ConfigurationError: An argument is out of range.
    """
    lisa.model.check_frame(frame)
    table = lisa.network.llava.get_input_embeddings().weight.float()
    if similarity not in get_args(Similarity):
        raise ConfigurationError(f"similarity is {similarity!r}; it must be one of {', '.join(get_args(Similarity))}")
    if not temperature > 0 or not 1 <= count <= len(table):
        raise ConfigurationError(
            f"temperature is {temperature} and count {count}; they must be above 0, and from 1 to {len(table)}"
        )
    rows = frame.rows.embedding.float()
    if similarity == "cosine":
        rows, table = F.normalize(rows, dim=-1), F.normalize(table, dim=-1)
    with_words, between = rows @ table.T / temperature, rows @ rows.T / temperature
    if similarity == "softmax":
        with_words, between = with_words.softmax(dim=0), between.softmax(dim=0)
    best = with_words.topk(count, dim=1)
    near = []
    for ids, values in zip(best.indices.tolist(), best.values.tolist(), strict=True):
        words = tuple(lisa.tokenizer.word(id) for id in ids)
        near.append(NearWords(tuple(ids), words, tuple(values)))
    return AdapterView(tuple(near), between.cpu(), with_words.shape[1])
