"""Muon for the hidden matrices, AdamW for everything else.

On this recipe Muon needed about half as many steps as AdamW for the same loss. `torch.optim.Muon` computes in bfloat16
whatever the machine is, which is ten times slower than float32 on a CPU without bfloat16 instructions, and it leaves
out convolutions; hence this short one.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from training.tabletop.precision import fast_dtype

HIDDEN = ("model.layers.", "image_encoder.", "mask_decoder.transformer.")
SMALLEST_SIDE = 32  # below, as for the patch embedding's three input channels, a matrix has no spectrum to speak of
RMS = 0.2  # size of an AdamW update in units of the learning rate, so that both share one learning rate


def is_hidden_matrix(name: str, parameter: Tensor) -> bool:
    """Whether a parameter is a matrix (or convolution, taken as one) between hidden layers."""
    if parameter.ndim < 2 or "pos_embed" in name or not any(part in name for part in HIDDEN):
        return False
    return min(len(parameter), parameter[0].numel()) >= SMALLEST_SIDE


def orthogonalised(matrix: Tensor, steps: int = 4) -> Tensor:
    """A matrix with the same singular vectors and singular values near one, by Newton-Schulz iteration.

    The quintic's coefficients are those of Muon (Jordan et al., 2024): fast; values end
    between 0.7 and 1.2.
    """
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix).to(fast_dtype(matrix.device))
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        square = x @ x.T
        x = torch.addmm(x, torch.addmm(square, square, square, beta=-4.7750, alpha=2.0315), x, beta=3.4445)
    return (x.T if tall else x).to(matrix.dtype)


class Muon(torch.optim.Optimizer):
    """Momentum whose update is orthogonalised (Nesterov), with decoupled weight decay."""

    def __init__(self, groups: Iterable[dict], momentum: float = 0.95) -> None:
        super().__init__(groups, {"momentum": momentum, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)

    def _update(self, parameter: Tensor, group: dict) -> None:
        state = self.state[parameter]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        momentum = state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
        update = orthogonalised(parameter.grad.lerp(momentum, group["momentum"]).flatten(1))
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.add_(update.view_as(parameter), alpha=-group["lr"] * RMS * max(update.shape) ** 0.5)


def optimizers_for(
    model: nn.Module, lr: float, weight_decay: float, lr_scale: Callable[[str], float]
) -> list[torch.optim.Optimizer]:
    """Muon and AdamW over a model's parameters; every group has its peak learning rate under "peak".

    lr_scale(name) multiplies the learning rate; 0 freezes. Vectors have no weight decay.
    """
    hidden: dict[tuple[float, float], list[nn.Parameter]] = {}
    others: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        scale = lr_scale(name)
        parameter.requires_grad_(scale > 0)
        if scale > 0:
            kind = hidden if is_hidden_matrix(name, parameter) else others
            decay = weight_decay if parameter.ndim > 1 else 0.0
            kind.setdefault((lr * scale, decay), []).append(parameter)
    found = []
    if hidden:
        found.append(Muon(_groups(hidden)))
    if others:
        found.append(torch.optim.AdamW(_groups(others), betas=(0.9, 0.95)))
    return found


def _groups(kinds: dict[tuple[float, float], list[nn.Parameter]]) -> list[dict]:
    return [
        {"params": parameters, "lr": lr, "peak": lr, "weight_decay": decay} for (lr, decay), parameters in kinds.items()
    ]
