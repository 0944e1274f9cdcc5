"""Memory of the device: what is used, how torch says that it has run out, and what is made of that."""

import gc
import resource
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

import torch
from torch import Tensor, nn

from lisa_ros.errors import MemoryBudgetError

# How it is said where no OutOfMemoryError is raised: by torch's CPU allocator, and by a GPU that others have filled.
_SIGNS = (
    "can't allocate memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error tells of too little memory, and not of what was read or computed."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)


@contextmanager
def memory_guard(device: torch.device, task: str = "query") -> Iterator[None]:
    """Turns running out of memory into MemoryBudgetError, after the failed task's tensors are freed.

    task: "query", or what else was done, for the message; only a query can be made smaller.
    """
    try:
        yield
        return
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        message = _first_line(error)
        traceback.clear_frames(error.__traceback__)  # their locals hold the tensors
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    remedy = "Ask for fewer tokens, or load" if task == "query" else "Load"
    raise MemoryBudgetError(
        f"{device} has not enough memory for this {task}: {message}. {remedy} the model with a smaller precision "
        "(bf16, int8, int4, nf4)"
    )


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def stored_tensors(tensor: Tensor) -> Iterator[Tensor]:
    """The tensors that a packed weight of another library consists of; a plain tensor itself."""
    if not hasattr(tensor, "__tensor_flatten__"):
        yield tensor
        return
    names, _ = tensor.__tensor_flatten__()
    for name in names:
        yield from stored_tensors(getattr(tensor, name))


def weight_bytes(network: nn.Module) -> int:
    """Bytes of a network's parameters and buffers, those that are shared counted once."""
    tensors = chain.from_iterable(map(stored_tensors, (*network.parameters(), *network.buffers())))
    return sum({t.data_ptr(): t.nbytes for t in tensors}.values())


def memory_report(weights: int, device: torch.device) -> dict[str, int]:
    """Bytes: the `weights` given; `allocated` now and `peak` so far, of the GPU or else of the process."""
    report = {"weights": weights}
    if device.type == "cuda":
        return report | {
            "allocated": torch.cuda.memory_allocated(device),
            "peak": torch.cuda.max_memory_allocated(device),
        }
    with open("/proc/self/statm") as statm:
        resident = int(statm.read().split()[1]) * resource.getpagesize()
    return report | {"allocated": resident, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}
