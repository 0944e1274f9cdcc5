"""Keys and values that grow in place: transformers' dynamic cache copies all of them for every token."""

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

_ROOM = 128  # positions that are added when a layer is full


class GrowingLayer(DynamicLayer):
    """A layer's keys and values (rows, heads, length, d) at the beginning of longer tensors."""

    def __init__(self) -> None:
        super().__init__()
        self._whole: tuple[Tensor, Tensor] | None = None

    def start(self, keys: Tensor, values: Tensor, rows: int) -> None:
        """Begins with a copy of keys and values (1, heads, length, d) for each of `rows`."""
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True
        self._move(keys.expand(rows, -1, -1, -1), values.expand(rows, -1, -1, -1), keys.shape[-2] + _ROOM)

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Appends (rows, heads, n, d) of new positions; returns those of all."""
        if not self.is_initialized:  # of a prompt without more to come, as a frame's, nothing is left empty
            self.dtype, self.device, self.is_initialized = key_states.dtype, key_states.device, True
            self._move(key_states, value_states, key_states.shape[-2])
            return self.keys, self.values
        length = self.keys.shape[-2]
        end = length + key_states.shape[-2]
        if end > self._whole[0].shape[-2]:
            self._move(self.keys, self.values, end + _ROOM)
        for whole, states in zip(self._whole, (key_states, value_states), strict=True):
            whole[..., length:end, :] = states
        self.keys, self.values = (whole[..., :end, :] for whole in self._whole)
        return self.keys, self.values

    def _move(self, keys: Tensor, values: Tensor, capacity: int) -> None:
        length = keys.shape[-2]
        self._whole = tuple(part.new_empty((*part.shape[:2], capacity, part.shape[-1])) for part in (keys, values))
        self.keys, self.values = (whole[..., :length, :] for whole in self._whole)
        self.keys.copy_(keys)
        self.values.copy_(values)


def growing_cache() -> Cache:
    """An empty cache."""
    return Cache(layer_class_to_replicate=GrowingLayer)


@torch.inference_mode()
def started_cache(layers: tuple[tuple[Tensor, Tensor], ...], length: int, rows: int = 1) -> Cache:
    """A cache of the first `length` positions of `layers`, keys and values (1, heads, L, d), for each of `rows`."""
    started = [GrowingLayer() for _ in layers]
    for layer, (keys, values) in zip(started, layers, strict=True):
        layer.start(keys[..., :length, :], values[..., :length, :], rows)
    return Cache(layers=started)
