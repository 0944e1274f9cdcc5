"""QLoRA and 8-bit Adam: the language model's frozen layers in 4 bits, optimiser states in 8."""

import torch
from torch import nn

from lisa_ros.errors import ConfigurationError
from lisa_ros.inference.precision import quantize
from lisa_ros.model.network import LisaNetwork
from training.settings import OptimizerSettings


def quantize_base(network: LisaNetwork, dtype: torch.dtype) -> None:
    """Makes the language model's linear layers 4-bit (NF4), in place, before adapters are added; moving packs them.

    Raises ConfigurationError without bitsandbytes.
    """
    quantize(network, "nf4", dtype)
    network.is_loaded_in_4bit = True  # what peft looks for to put its adapters on 4-bit layers


def optimizer_options(settings: OptimizerSettings) -> dict[str, object]:
    """What a run sets of its optimiser once; the learning rate is set every step."""
    return {"betas": settings.betas, "eps": settings.eps, "weight_decay": settings.weight_decay}


def build_optimizer(
    parameters: list[nn.Parameter], settings: OptimizerSettings, device: torch.device
) -> torch.optim.Optimizer:
    """AdamW over the trained parameters. Raises ConfigurationError for 8-bit states without bitsandbytes or CUDA."""
    options = {"lr": settings.lr, **optimizer_options(settings)}
    if settings.name == "adamw":
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
