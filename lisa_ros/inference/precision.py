"""Number formats of the weights."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from lisa_ros.errors import ConfigurationError
from lisa_ros.model.network import LisaNetwork

_FLOATS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
PACKED = ("int8", "int4", "nf4")  # of the language model's linear layers alone
_CPU = torch.device("cpu")
_INT4_GROUPS = (128, 64, 32)  # that the kernels know
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
    if precision == "int4":
        if torch.cuda.get_device_capability(device) < (8, 0):
            raise ConfigurationError(f"precision int4 needs a GPU of the Ampere generation or newer, {device} is older")
        return torch.bfloat16
    # The kernels of int8 take float16; nf4 computes in either.
    return torch.bfloat16 if precision == "nf4" and torch.cuda.is_bf16_supported() else torch.float16


def quantize(network: LisaNetwork, precision: str, dtype: torch.dtype, device: torch.device = _CPU) -> None:
    """Packs the language model's linear layers as one of PACKED says.

    Embeddings, head, projector, text projection, CLIP and SAM keep `dtype` or more. int8 and nf4 pack when the network
    is moved to its device; int4 here, layer by layer on `device`. Raises ConfigurationError if the library is not
    installed or the layers cannot be packed.
    """
    pack = _packing(network, precision, dtype, device)
    for layer in network.model.layers:
        pack(layer)


def _packing(
    network: LisaNetwork, precision: str, dtype: torch.dtype, device: torch.device
) -> Callable[[nn.Module], None]:
    """What packs one layer of the language model; arguments and errors as of `quantize`."""
    return _int4_packing(network, device) if precision == "int4" else _bitsandbytes_packing(precision, dtype)


def _int4_packing(network: LisaNetwork, device: torch.device) -> Callable[[nn.Module], None]:
    """Weights of 4 bits with a scale and a zero for each group, multiplied by torch's own kernels as they are."""
    try:
        from torchao.prototype.quantization.int4 import PrototypeInt4WeightOnlyConfig
        from torchao.quantization import Int4WeightOnlyConfig, quantize_
    except ImportError as error:
        raise ConfigurationError("precision int4 needs torchao: pip install torchao") from error
    widths = sorted({layer.in_features for layer in network.model.layers.modules() if isinstance(layer, nn.Linear)})
    group = next((size for size in _INT4_GROUPS if not any(width % size for width in widths)), None)
    if group is None:
        raise ConfigurationError(
            f"precision int4 needs linear layers whose width is a multiple of {_INT4_GROUPS[-1]}; this model's are "
            f"{', '.join(map(str, widths))} wide. Choose int8 or nf4"
        )
    if device.type == "cpu":
        config = PrototypeInt4WeightOnlyConfig(group_size=group)
    else:
        config = Int4WeightOnlyConfig(
            group_size=group, int4_packing_format="tile_packed_to_4d", set_inductor_config=False
        )

    def pack(layer: nn.Module) -> None:
        quantize_(layer, config, lambda module, _: isinstance(module, nn.Linear), device=device)

    return pack


def _bitsandbytes_packing(precision: str, dtype: torch.dtype) -> Callable[[nn.Module], None]:
    try:
        import bitsandbytes as bnb
    except ImportError as error:
        raise ConfigurationError(f"precision {precision} needs bitsandbytes: pip install bitsandbytes") from error

    def pack(layer: nn.Module) -> None:
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

    return pack


def place(
    network: LisaNetwork,
    precision: str,
    dtype: torch.dtype,
    device: torch.device,
    cast: Callable[[str, Tensor], Tensor] = lambda _, value: value,
) -> None:
    """Readies a network on the CPU for inference on a device: its weights are cast, packed and moved, part by part.

    So the host never holds two copies of more than one layer, whatever type the files have.

    Args:
        network: The network; a part whose weights are mapped from files is read when its turn comes.
        precision: One of PRECISIONS.
        dtype: Of the weights that are neither packed nor kept wider.
        device: Where it will compute.
        cast: Gives a weight, by its name and value, the type that it has under `dtype`.

    Raises:
        ConfigurationError: See `quantize`.
    """
    network.requires_grad_(False)
    names = {module: name for name, module in network.named_modules()}
    pack = _packing(network, precision, dtype, device) if precision in PACKED else None
    layers = list(network.model.layers)
    for layer in layers:
        for module in layer.modules():
            _settle(module, names[module], cast, _CPU if pack else device)
        if pack:
            pack(layer)
            layer.to(device)
    settled = {module for layer in layers for module in layer.modules()}
    for module, name in names.items():
        if module not in settled:
            _settle(module, name, cast, device)
    # On the CPU the plain kernels cost no more at these lengths, and round as those of the official code.
    network.set_attention("eager" if device.type == "cpu" else "sdpa")


def _settle(module: nn.Module, name: str, cast: Callable[[str, Tensor], Tensor], device: torch.device) -> None:
    """Casts and moves a module's own weights and buffers, not those of its children."""
    for key, parameter in module.named_parameters(recurse=False):
        parameter.data = cast(f"{name}.{key}", parameter.data).to(device)
    for key, buffer in module.named_buffers(recurse=False):
        setattr(module, key, cast(f"{name}.{key}", buffer).to(device))
