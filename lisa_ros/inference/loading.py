"""A checkpoint's files -> the model on its device, in its number format."""

from pathlib import Path

import torch

from lisa_ros.inference.loaded_model import LoadedModel
from lisa_ros.inference.precision import float_type, place
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
    conv_type: str | None,
    style: str | None,
    base: str | Path | None,
    sam_checkpoint: str | Path | None,
    lora_alpha: float,
    **options,
) -> LoadedModel:
    """Loads what `Lisa.from_pretrained` describes, for all systems whose network is a LisaNetwork.

    Args:
        source: See Lisa.from_pretrained, as the other arguments that are not named here.
        device: Where the weights go.
        precision: A number format for the weights.
        conv_type: Checked before anything is read, as `style` is.
        style: See `conv_type`.
        base: Of un-merged weights; None for merged ones.
        sam_checkpoint: Of un-merged weights.
        lora_alpha: Of un-merged weights.
        **options: What merged and un-merged weights take alike.

    Raises:
        LisaError: As of Lisa.from_pretrained.
    """
    dtype = float_type(precision, device)
    if conv_type:
        get_template(conv_type)
    if style:
        get_style(style)
    options |= {"conv_type": conv_type, "style": style, "dtype": dtype}
    with memory_guard(device, "model"):
        if base is None:
            checkpoint = load(source, **options)
        else:
            checkpoint = load_unmerged(
                source, base=base, sam_checkpoint=sam_checkpoint, lora_alpha=lora_alpha, **options
            )
        place(checkpoint.network, precision, dtype, device)
    name = Path(source).resolve().name if Path(source).exists() else str(source)
    return LoadedModel(checkpoint, device=device, precision=precision, name=name)
