"""Memory of the device: what is used, and what happens when it runs out."""

import gc
import resource
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from lisa_ros.errors import MemoryBudgetError
from lisa_ros.model.memory import is_out_of_memory


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
        "(bf16, int8, nf4)"
    )


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def memory_report(network: nn.Module, device: torch.device) -> dict[str, int]:
    """Bytes: `weights` of the network; `allocated` now and `peak` so far, of the GPU or else of the process."""
    tensors = {t.data_ptr(): t.nbytes for t in (*network.parameters(), *network.buffers())}
    report = {"weights": sum(tensors.values())}
    if device.type == "cuda":
        return report | {
            "allocated": torch.cuda.memory_allocated(device),
            "peak": torch.cuda.max_memory_allocated(device),
        }
    with open("/proc/self/statm") as statm:
        resident = int(statm.read().split()[1]) * resource.getpagesize()
    return report | {"allocated": resident, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}
