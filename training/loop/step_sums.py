"""What is summed over the micro-batches and processes of one optimizer step."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from accelerate import Accelerator
from torch import Tensor

from training.model.objective import Losses


class StepSums(NamedTuple):
    """Scalars, float32, on the device of the run; one reduction carries all of them.

    Attributes:
        loss: Sum of the other three.
        ce: Cross-entropy of the answers.
        mask_bce: Binary cross-entropy of the masks; of LLM-Seg the loss of similarities.
        mask_dice: Dice loss of the masks; of LLM-Seg the loss of the IoP.
        skipped: Items left out, as a count.
        stop_requests: Processes that were asked to stop, counted once a micro-batch.
    """

    loss: Tensor
    ce: Tensor
    mask_bce: Tensor
    mask_dice: Tensor
    skipped: Tensor
    stop_requests: Tensor

    @classmethod
    def zero(cls, device: torch.device) -> "StepSums":
        """Where a step begins."""
        return cls(*torch.zeros(len(cls._fields), device=device))

    @classmethod
    def of(cls, losses: Losses, skipped: int, stop: bool) -> "StepSums":
        """One micro-batch of this process."""
        counts = losses.loss.new_tensor([skipped, float(stop)]).float()
        return cls(*(value.detach().float() for value in losses), *counts)

    def all_reduce(self, accelerator: Accelerator) -> "StepSums":
        """The sum over the processes; all of them call it."""
        return StepSums(*accelerator.reduce(torch.stack(self), "sum"))

    def plus(self, other: "StepSums") -> "StepSums":
        """The sum with another micro-batch's."""
        return StepSums(*(torch.stack(self) + torch.stack(other)))

    def is_finite(self) -> bool:
        """Whether every value is."""
        return bool(torch.isfinite(torch.stack(self)).all())

    def mean_losses(self, micro_batches: int, names: Sequence[str]) -> dict[str, float]:
        """The losses by their `names`, in order. micro_batches: of all processes in the step."""
        return dict(zip(names, (torch.stack(self[:4]) / micro_batches).tolist(), strict=True))
