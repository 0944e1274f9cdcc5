"""Number formats of the weights."""

import torch
from torch import nn

from lisa_ros.errors import ConfigurationError
from lisa_ros.model.network import LisaNetwork

_FLOATS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
PACKED = ("int8", "nf4")  # of the language model's linear layers alone
PRECISIONS = (*_FLOATS, *PACKED)


def resolve_device(name: str) -> torch.device:
    """`auto` is the GPU where there is one. Raises ConfigurationError for a device that is not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError) as error:
        raise ConfigurationError(f"device {name!r} is unknown; use auto, cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):  # torch knows names of many; meta would even load, and compute nothing
        raise ConfigurationError(f"device {name!r} is not supported; use auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigurationError(f"device {name!r} is not there: torch sees {torch.cuda.device_count()} GPUs")
    return device


def float_type(precision: str, device: torch.device) -> torch.dtype:
    """Type of all weights that stay floating-point numbers under `precision`."""
    if precision not in PRECISIONS:
        raise ConfigurationError(f"precision {precision!r} is unknown; choose one of {', '.join(PRECISIONS)}")
    if precision in _FLOATS:
        return _FLOATS[precision]
    if device.type == "cpu":
        return torch.float32
    # The kernels of int8 take float16; nf4 computes in either.
    return torch.bfloat16 if precision == "nf4" and torch.cuda.is_bf16_supported() else torch.float16


def quantize(network: LisaNetwork, precision: str, dtype: torch.dtype) -> None:
    """Prepares the language model's linear layers for int8 or nf4; moving the network to its device packs them.

    Embeddings, head, projector, text projection, CLIP and SAM keep `dtype` or more. Raises ConfigurationError if
    bitsandbytes is not installed.
    """
    try:
        import bitsandbytes as bnb
    except ImportError as error:
        raise ConfigurationError(f"precision {precision} needs bitsandbytes: pip install bitsandbytes") from error
    for layer in network.model.layers:
        for parent in (layer.self_attn, layer.mlp):
            for name, linear in list(parent.named_children()):
                if not isinstance(linear, nn.Linear):
                    continue
                shape, bias = (linear.in_features, linear.out_features), linear.bias is not None
                if precision == "nf4":
                    packed = bnb.nn.Linear4bit(*shape, bias=bias, compute_dtype=dtype, quant_type="nf4", device="meta")
                    packed.weight = bnb.nn.Params4bit(linear.weight.data, requires_grad=False, quant_type="nf4")
                else:
                    packed = bnb.nn.Linear8bitLt(*shape, bias=bias, has_fp16_weights=False, device="meta")
                    packed.weight = bnb.nn.Int8Params(linear.weight.data, requires_grad=False, has_fp16_weights=False)
                packed.bias = linear.bias
                setattr(parent, name, packed)


def place(network: LisaNetwork, precision: str, dtype: torch.dtype, device: torch.device) -> None:
    """Readies a network on the CPU, whose weights are of `dtype`, for inference on a device. See `quantize`."""
    network.requires_grad_(False)
    if precision in PACKED:
        quantize(network, precision, dtype)
    network.to(device)
    # On the CPU the plain kernels cost no more at these lengths, and round as those of the official code.
    network.set_attention("eager" if device.type == "cpu" else "sdpa")
