"""Greedy decoding with a key-value cache whose beginning can be shared by many prompts."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache

from lisa_ros.errors import LisaError
from lisa_ros.model.network import LisaNetwork


@dataclass(frozen=True)
class Prefix:
    """Keys and values of the expanded ids `ids`. Nobody writes to them: a query works on a copy of what it shares."""

    ids: tuple[int, ...]
    layers: tuple[tuple[Tensor, Tensor], ...]

    @classmethod
    def of(cls, ids: Sequence[int], cache: DynamicCache) -> "Prefix":
        """The prefix that a cache holds after it was fed with `ids`."""
        return cls(tuple(ids), tuple((keys, values) for keys, values, *_ in cache))

    def shared_with(self, ids: Sequence[int]) -> int:
        """Number of positions, from the start, at which both have the same id; at least one of `ids` remains."""
        limit = min(len(self.ids), len(ids) - 1)
        return next((i for i in range(limit) if self.ids[i] != ids[i]), limit)

    def copy(self, length: int) -> DynamicCache:
        """A cache of the first `length` positions, for one query to extend."""
        return DynamicCache([(keys[..., :length, :], values[..., :length, :]) for keys, values in self.layers])


@torch.inference_mode()
def prefill(
    network: LisaNetwork, ids: Sequence[int], visual: Tensor, prefix: Prefix | None = None
) -> tuple[DynamicCache, Tensor]:
    """Feeds a prompt; returns its cache and the last hidden state (1, hidden_size), which predicts the next token.

    ids: expanded. visual: (1, N, hidden_size), the image's tokens. What `prefix` shares with `ids` is taken from it.
    """
    start = prefix.shared_with(ids) if prefix else 0
    cache = prefix.copy(start) if prefix and start else DynamicCache()
    rest = torch.tensor([ids[start:]], device=visual.device)
    hidden = network.hidden_states(network.splice(rest, visual), cache=cache)
    return cache, hidden[:, -1]


@torch.inference_mode()
def decode_step(network: LisaNetwork, id: int, cache: DynamicCache) -> Tensor:
    """Feeds one token; returns the state (1, hidden_size) that predicts the next one."""
    ids = torch.tensor([[id]], device=network.lm_head.weight.device)
    return network.hidden_states(network.embed(ids), cache=cache)[:, -1]


@torch.inference_mode()
def greedy_token(network: LisaNetwork, hidden: Tensor) -> tuple[int, Tensor]:
    """The most probable next token, and all logits (vocab_size,).

    Raises LisaError if they are not finite, as when float16 overflows.
    """
    logits = network.logits(hidden)[0]
    value, index = logits.max(dim=0)
    if not torch.isfinite(value):
        raise LisaError("the language model's values overflowed; load the checkpoint with precision bf16 or fp32")
    return int(index), logits


def probability(logits: Tensor, id: int) -> float:
    """Probability of token `id`."""
    return float(torch.softmax(logits, dim=0)[id])
