"""The step that feeds one token, captured once at fixed shapes; on a GPU as a CUDA graph, without launches of kernels.

Keys and values lie in transformers' static cache, of a few lengths, for each of which the step is compiled while the
model is loaded. An answer that outgrows the longest goes on with plain steps.
"""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.cache_utils import Cache, StaticCache

from lisa_ros.errors import ConfigurationError
from lisa_ros.inference.generation import extend
from lisa_ros.inference.growing_cache import growing_cache, started_cache
from lisa_ros.model.elisa.network import ElisaNetwork
from lisa_ros.model.memory import is_out_of_memory
from lisa_ros.model.network import LisaNetwork

COMPILE = ("auto", "always", "never")
LENGTHS = (512, 1024)  # positions: prompt and answer of most queries; each is compiled
_CHECKED = 3  # steps of the check; a CUDA graph is recorded in the second, and replayed from then on
_CLOSE = {torch.float32: 1e-3}  # difference of states by the largest of them
_CLOSE_COARSE = 0.05  # in coarser formats, whose rounding depends on the order of sums
_BACKEND, _MODE = "inductor", "reduce-overhead"


class CompiledStep:
    """The compiled step of one network, for one answer at a time, in the thread that loaded it."""

    def __init__(self, network: LisaNetwork | ElisaNetwork, longest: int) -> None:
        """Nothing is compiled yet; longest: positions that the network takes."""
        self._network = network
        lengths = sorted({min(length, longest) for length in LENGTHS})
        self._caches = {length: StaticCache(network.model.config, length) for length in lengths}
        options = {"mode": _MODE} if _BACKEND == "inductor" else {}
        self._run = torch.compile(self._hidden_states, backend=_BACKEND, fullgraph=True, dynamic=False, **options)
        self._thread = threading.get_ident()  # CUDA graphs of torch belong to one
        self._taken = False

    def _hidden_states(self, embeddings: Tensor, cache: StaticCache) -> Tensor:
        return self._network.hidden_states(embeddings, cache=cache)

    @torch.inference_mode()
    def check(self) -> str:
        """Compiles the step for each length and holds it against the plain one; "" or in what they differ."""
        weight = self._network.model.embed_tokens.weight
        ids = torch.arange(1, 2 + _CHECKED, device=weight.device) % len(weight)
        first, *steps = (F.embedding(id.view(1, 1), weight) for id in ids)  # of the strides that an answer's have
        plain, begun = growing_cache(), growing_cache()
        for cache in (plain, begun):
            self._network.hidden_states(first, cache=cache)
        expected = torch.cat([self._network.hidden_states(fed, cache=plain) for fed in steps])
        close = _CLOSE.get(expected.dtype, _CLOSE_COARSE) * expected.abs().max()
        for length in self._caches:
            _fill(self._caches[length], begun, 1)
            computed = torch.cat([self._step(fed, length) for fed in steps])
            difference = (computed - expected).abs().max()
            if not difference <= close:
                return f"its states differ by {float(difference):.2g}, at a cache of {length} positions"
        return ""

    @contextmanager
    def taken(self) -> Iterator["CompiledStep | None"]:
        """The step for one answer, None while another one has it, or in a thread where it cannot run."""
        if self._taken or threading.get_ident() != self._thread:
            yield None
            return
        self._taken = True
        try:
            yield self
        finally:
            self._taken = False

    def length_for(self, positions: int) -> int | None:
        """The shortest of the lengths that holds so many positions."""
        return next((length for length in self._caches if length >= positions), None)

    def fill(self, length: int, cache: Cache, positions: int) -> Cache:
        """Copies the first positions of a cache to that of `length`, and returns it."""
        _fill(self._caches[length], cache, positions)
        return self._caches[length]

    @torch.inference_mode()
    def _step(self, embeddings: Tensor, length: int) -> Tensor:
        torch.compiler.cudagraph_mark_step_begin()
        return self._run(embeddings, self._caches[length]).clone()  # the next step writes where this one did

    def feed(self, embeddings: Tensor, length: int) -> Tensor:
        """Feeds (1, 1, hidden_size) behind what the cache of `length` holds; the last state (1, hidden_size)."""
        return self._step(embeddings, length)[:, -1]


class TokenLoop:
    """Feeds the tokens of one answer, compiled as long as that is possible.

    Attributes:
        positions: Number of tokens that were fed, those of the prompt included.
    """

    def __init__(self, network: LisaNetwork | ElisaNetwork, cache: Cache, compiled: CompiledStep | None) -> None:
        """cache: of the prompt. compiled: what `CompiledStep.taken` gave."""
        self._network, self._cache, self._compiled = network, cache, compiled
        self.positions = int(cache.get_seq_length())
        self._length: int | None = None  # of the static cache; None: `cache` is a growing one

    def feed(self, id: int) -> Tensor:
        """Feeds one token; returns the state (1, hidden_size) that predicts the next one."""
        self._make_room()
        self.positions += 1
        if self._length is None:
            return extend(self._network, [id], self._cache)
        with torch.inference_mode():
            fed = torch.tensor([[id]], device=self._network.lm_head.weight.device)
            return self._compiled.feed(self._network.embed(fed), self._length)

    def layers(self) -> tuple[tuple[Tensor, Tensor], ...]:
        """Keys and values (1, heads, positions, d) of each layer, which nobody writes to."""
        with torch.inference_mode():
            parts = [[part[..., : self.positions, :] for part in (one.keys, one.values)] for one in self._cache.layers]
            if self._length is not None:
                parts = [[part.clone() for part in pair] for pair in parts]
        return tuple((keys, values) for keys, values in parts)

    def _make_room(self) -> None:
        """Moves to a longer cache where the next token needs one."""
        if self._compiled is None or (self._length is not None and self.positions < self._length):
            return
        length = self._compiled.length_for(self.positions + 1)
        if length is None:
            self._cache = started_cache(self.layers(), self.positions)
            self._compiled = self._length = None
        else:
            self._cache = self._compiled.fill(length, self._cache, self.positions)
            self._length = length


@torch.inference_mode()
def _fill(static: StaticCache, cache: Cache, positions: int) -> None:
    for target, source in zip(static.layers, cache.layers, strict=True):
        if not target.is_initialized:
            target.lazy_initialization(source.keys, source.values)
        target.keys[..., :positions, :] = source.keys[..., :positions, :]
        target.values[..., :positions, :] = source.values[..., :positions, :]
        target.cumulative_length.fill_(positions)


def check_compile(compile: str) -> None:
    """Raises ConfigurationError for anything but one of COMPILE."""
    if compile not in COMPILE:
        raise ConfigurationError(f"compile={compile!r} is unknown; choose one of {', '.join(COMPILE)}")


def compiled_step(
    network: LisaNetwork | ElisaNetwork, compile: str, *, precision: str, device: torch.device
) -> CompiledStep | None:
    """The step of a network on its device, compiled as `compile` says; None for plain steps.

    auto: on a GPU, but for the formats of bitsandbytes. On a CPU compiling takes a minute or two, needs a C++ compiler,
    and gains a tenth of a token's time at most.

    Raises:
        ConfigurationError: `compile` is always, and the step cannot be compiled, or computes something else.
    """
    check_compile(compile)
    if compile == "never" or (compile == "auto" and (device.type == "cpu" or precision in ("int8", "nf4"))):
        return None
    try:
        step = CompiledStep(network, network.config.max_position_embeddings)
        problem = step.check()
    except Exception as error:  # of the compilers below torch, which raise what they like
        if is_out_of_memory(error):
            raise
        problem = f"{type(error).__name__}: {(str(error).strip() or '-').splitlines()[0]}"
    if not problem:
        return step
    message = f"the language model's step cannot be compiled: {problem}"
    if compile == "always":
        raise ConfigurationError(f"{message}; load the model with compile=never")
    warnings.warn(f"{message}. Tokens are computed by plain steps, which are slower", RuntimeWarning, stacklevel=2)
    return None
