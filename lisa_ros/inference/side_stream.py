"""Work beside other work: on a stream of its own where there is a GPU, at once where there is none."""

from collections.abc import Callable
from typing import Generic, TypeVar

import torch
from torch import Tensor

Made = TypeVar("Made")


class SideWork(Generic[Made]):
    """Computes something while the caller goes on; `result` hands it over.

    On a GPU kernels of both may run at the same time, wherever one alone does not fill it. On a CPU the work is done
    when the constructor returns.
    """

    def __init__(self, device: torch.device, work: Callable[[], Made]) -> None:
        """Starts `work`, which reads what the caller has computed so far and returns tensors of `device`."""
        self._device, self._stream = device, None
        if device.type == "cuda":
            self._stream = torch.cuda.Stream(device)
            self._stream.wait_stream(torch.cuda.current_stream(device))
            with torch.cuda.stream(self._stream):
                self._made = work()
        else:
            self._made = work()

    def result(self, tensors: Callable[[Made], tuple[Tensor, ...]]) -> Made:
        """What `work` returned, for the caller's stream; tensors: those in it."""
        if self._stream is not None:
            current = torch.cuda.current_stream(self._device)
            current.wait_stream(self._stream)
            for tensor in tensors(self._made):
                tensor.record_stream(current)  # else its memory is given out again while the caller still reads it
        return self._made
