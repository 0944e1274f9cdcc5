"""From a checkpoint's files to a model on its device."""

from pathlib import Path

import torch

from lisa_ros.inference.loaded_model import LoadedModel
from lisa_ros.inference.precision import float_type, quantize
from lisa_ros.model.checkpoint import load
from lisa_ros.model.memory import memory_guard
from lisa_ros.model.prompts import get_template
from lisa_ros.model.styles import get_style
from lisa_ros.model.unmerged import load_unmerged


def load_model(
    source: str | Path,
    *,
    device: torch.device,
    precision: str,
    style: str | None,
    conv_type: str | None,
    base: str | Path | None,
    sam_checkpoint: str | Path | None,
    lora_alpha: float,
    **options: object,
) -> LoadedModel:
    """See Lisa.from_pretrained. options: further ones of `lisa_ros.model.checkpoint.load`."""
    dtype = float_type(precision, device)
    if conv_type:
        get_template(conv_type)
    if style:
        get_style(style)
    with memory_guard(device, "model"):
        options |= {"style": style, "conv_type": conv_type, "dtype": dtype}
        if base is None:
            checkpoint = load(source, **options)
        else:
            checkpoint = load_unmerged(
                source, base=base, sam_checkpoint=sam_checkpoint, lora_alpha=lora_alpha, **options
            )
        checkpoint.network.requires_grad_(False)
        if precision in ("int8", "nf4"):
            quantize(checkpoint.network, precision, dtype)
        checkpoint.network.to(device)
        # On the CPU the plain kernels cost no more at these lengths, and round as those of the official code.
        checkpoint.network.set_attention("eager" if device.type == "cpu" else "sdpa")
    name = Path(source).resolve().name if Path(source).exists() else str(source)
    return LoadedModel(checkpoint, device=device, precision=precision, name=name)
