"""Greedy decoding with a key-value cache whose beginning can be shared by many prompts."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers.cache_utils import Cache

from lisa_ros.errors import LisaError
from lisa_ros.inference.answer_words import AnswerProgress
from lisa_ros.inference.growing_cache import growing_cache, started_cache
from lisa_ros.model.network import LisaNetwork


@dataclass(frozen=True)
class Prefix:
    """Keys and values of the expanded ids `ids`. Nobody writes to them: a query works on a copy of what it shares."""

    ids: tuple[int, ...]
    layers: tuple[tuple[Tensor, Tensor], ...]

    @classmethod
    def of(cls, ids: Sequence[int], cache: Cache) -> "Prefix":
        """The prefix that a cache holds after it was fed with `ids`."""
        return cls(tuple(ids), tuple((layer.keys, layer.values) for layer in cache.layers))

    def shared_with(self, ids: Sequence[int]) -> int:
        """Number of positions, from the start, at which both have the same id; at least one of `ids` remains."""
        limit = min(len(self.ids), len(ids) - 1)
        return next((i for i in range(limit) if self.ids[i] != ids[i]), limit)

    def copy(self, length: int, rows: int = 1) -> Cache:
        """A cache of the first `length` positions for `rows` queries to extend."""
        return started_cache(self.layers, length, rows)


@torch.inference_mode()
def prefill(
    network: LisaNetwork, ids: Sequence[int], visual: Tensor, prefix: Prefix | None = None
) -> tuple[Cache, Tensor]:
    """Feeds a prompt; returns its cache and the last hidden state (1, hidden_size), which predicts the next token.

    ids: expanded. visual: (1, N, hidden_size), the image's tokens. What `prefix` shares with `ids` is taken from it.
    """
    start = prefix.shared_with(ids) if prefix else 0
    cache = prefix.copy(start) if prefix and start else growing_cache()
    rest = torch.tensor([ids[start:]], device=visual.device)
    hidden = network.hidden_states(network.splice(rest, visual), cache=cache)
    return cache, hidden[:, -1]


@torch.inference_mode()
def prefill_rows(network: LisaNetwork, rows: Sequence[Sequence[int]], visual: Tensor, prefix: Prefix) -> list[Tensor]:
    """Feeds several prompts about one image at once; what all of them share with `prefix` is taken from it.

    Args:
        network: The network.
        rows: Expanded ids of each prompt.
        visual: (1, N, hidden_size), the image's tokens.
        prefix: Of the image.

    Returns:
        For each row the last hidden states (L, hidden_size) of all its positions behind the shared ones. Padding stands
        at the right, where causal attention keeps it from the rest: rows do not touch one another.
    """
    start = min(prefix.shared_with(ids) for ids in rows)
    width = max(len(ids) for ids in rows)
    padded = torch.tensor([[*ids[start:], *[0] * (width - len(ids))] for ids in rows], device=visual.device)
    cache = prefix.copy(start, len(rows)) if start else growing_cache()
    embeddings = network.splice(padded, visual.expand(len(rows), -1, -1))
    hidden = network.hidden_states(embeddings, cache=cache)
    return [states[: len(ids) - start] for states, ids in zip(hidden, rows, strict=True)]


@torch.inference_mode()
def extend(network: LisaNetwork, ids: Sequence[int], cache: Cache) -> Tensor:
    """Feeds text that follows; returns the state (1, hidden_size) that predicts the next token."""
    fed = torch.tensor([list(ids)], device=network.lm_head.weight.device)
    return network.hidden_states(network.embed(fed), cache=cache)[:, -1]


def decode_step(network: LisaNetwork, id: int, cache: Cache) -> Tensor:
    """Feeds one token; returns the state (1, hidden_size) that predicts the next one."""
    return extend(network, [id], cache)


@torch.inference_mode()
def next_logits(network: LisaNetwork, hidden: Tensor) -> Tensor:
    """Logits (n, vocab_size) float32 of the tokens that hidden states (n, hidden_size) predict.

    Raises LisaError if they are not finite, as when float16 overflows.
    """
    logits = network.logits(hidden)
    if not torch.isfinite(logits.amax(dim=-1)).all():
        raise LisaError("the language model's values overflowed; load the checkpoint with precision bf16 or fp32")
    return logits


def greedy_token(network: LisaNetwork, hidden: Tensor, words: AnswerProgress | None = None) -> tuple[int, Tensor]:
    """The most probable next token of one state (1, hidden_size), and all logits (vocab_size,); see `next_logits`.

    words: what the answer may go on with; None for anything.
    """
    logits = next_logits(network, hidden)[0]
    return int(logits.argmax()) if words is None else words.choose(logits), logits
