"""The optimizer of a run, and its learning rate: linear warm-up, linear decay to zero (DeepSpeed's WarmupDecayLR)."""

import torch
from torch import nn

from lisa_ros.errors import ConfigurationError
from training.config.sections import OptimizerConfig


def learning_rate_factor(update: int, warmup_steps: int, steps: int) -> float:
    """Share of the peak learning rate that optimizer update number `update` (from 0) uses.

    DeepSpeed moves its schedule after the optimizer, so the first two updates both stand at the schedule's beginning.
    """
    position = max(0, update - 1)
    if position < warmup_steps:
        return position / warmup_steps
    return max(0.0, (steps - position) / max(1, steps - warmup_steps))


def optimizer_options(config: OptimizerConfig) -> dict[str, object]:
    """What a run sets of its optimizer once; the learning rate is set every step."""
    return {"betas": config.betas, "eps": config.eps, "weight_decay": config.weight_decay}


def build_optimizer(
    parameters: list[nn.Parameter], config: OptimizerConfig, device: torch.device
) -> torch.optim.Optimizer:
    """AdamW over the trained parameters. Raises ConfigurationError for 8-bit states without bitsandbytes or CUDA."""
    options = {"lr": config.lr, **optimizer_options(config)}
    if config.name == "adamw":
        return torch.optim.AdamW(parameters, **options)
    if device.type != "cuda":
        raise ConfigurationError(
            f"optimizer.name adamw8bit needs a CUDA device, this is {device.type}; set it to adamw"
        )
    try:
        from bitsandbytes.optim import AdamW8bit
    except ImportError as error:
        raise ConfigurationError(
            "optimizer.name adamw8bit needs bitsandbytes: pip install -r requirements/quantization.txt"
        ) from error
    return AdamW8bit(parameters, **options)
