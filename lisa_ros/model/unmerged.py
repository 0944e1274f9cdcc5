"""Weights of a training before its adapters were merged: one file that goes on top of the models it began with.

The layout of DeepSpeed's `zero_to_fp32.py` over peft, as GSVA is published (`gsva-7b-ft-gres.bin`) and as LISA, SESAME
and CoReS are before their merge; or DeepSpeed's own directory of a run, as LLM-Seg is published. What the file lacks is
taken from the LLaVA and the Segment Anything it began with.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from lisa_ros.errors import CheckpointError, ConfigurationError
from lisa_ros.model.checkpoint import Checkpoint, assemble
from lisa_ros.model.files import expand_home, read_json
from lisa_ros.model.layouts import check_layout
from lisa_ros.model.prompts import IM_END, IM_START
from lisa_ros.model.styles import STYLES, get_style
from lisa_ros.model.tokenizer import LisaTokenizer
from lisa_ros.model.weights import read_weight_file, read_weights

PREFIX = "base_model.model."  # of every key
_LORA_A, _LORA_B = ".lora_A.default.weight", ".lora_B.default.weight"
_SAM = "model.visual_model."
_DEEPSPEED_FILE = "mp_rank_00_model_states.pt"
# Trained, or made anew and never read from the base: the base's own, if any, mean nothing to these weights.
_OWN_PARTS = ("model.mm_projector.", "model.text_hidden_fcs.", f"{_SAM}mask_decoder.")
_OWN_MATRICES = ("model.embed_tokens.weight", "lm_head.weight")


def load_unmerged(
    source: str | Path,
    *,
    base: str | Path,
    style: str | None = None,
    sam_checkpoint: str | Path | None = None,
    vision_tower: str | Path | None = None,
    sam: Mapping[str, object] | None = None,
    conv_type: str | None = None,
    lora_alpha: float = 16,
    proposal_head: Mapping[str, object] | None = None,
    dinov2: str | Path | None = None,
    dtype: torch.dtype | None = torch.float32,
) -> Checkpoint:
    """Loads un-merged weights onto the CPU and merges them.

    Args:
        source: The file (.bin or .safetensors), or DeepSpeed's directory, which holds a file `latest`.
        base: Directory of the LLaVA that the training began with: configuration, tokenizer, and weights where the file
            lacks them.
        style: Name of the style, which says what tokens were added to the base's; None where weights of its own tell.
        sam_checkpoint: Segment Anything's file, where `source` holds only its mask decoder.
        vision_tower: Path or hub name of the CLIP tower, in place of what the base's config.json says.
        sam: Segment Anything's sizes where shapes do not tell them.
        conv_type: Name of the prompt template, in place of the style's.
        lora_alpha: Updates are scaled by it over their rank, which the shapes tell; 16 in all published trainings.
        proposal_head: See `checkpoint.load`.
        dinov2: See `checkpoint.load`.
        dtype: See `checkpoint.load`.

    Returns:
        The checkpoint, as of its merged layout.

    Raises:
        CheckpointError: A file is missing or damaged, or its weights do not fit the base; the message names what.
        ConfigurationError: An argument is out of range.
    """
    if not lora_alpha > 0:
        raise ConfigurationError(f"lora_alpha is {lora_alpha!r}; it must be above 0")
    path, base = Path(expand_home(source)), Path(expand_home(base))
    path, found = read_unmerged(path)
    strangers = [key for key in found if not key.startswith(PREFIX)]
    if strangers or not found:
        raise CheckpointError(
            f"{path} is not an un-merged checkpoint: {(strangers or ['nothing'])[0]} does not begin with {PREFIX}"
        )
    found = {key.removeprefix(PREFIX).replace(".base_layer.", "."): value for key, value in found.items()}
    values = read_json(base / "config.json")
    check_layout(values, base)
    style = style or _recognised(found, path)
    tokens = (*get_style(style).tokens, IM_START, IM_END)
    tokenizer = LisaTokenizer.from_directory(base, add=tokens)
    _check_own(found, len(tokenizer), path, base, tokens)
    weights = _below(found, base, sam_checkpoint, path) | found
    weights = merge_adapters(weights, lora_alpha, path)
    values |= {"vocab_size": len(tokenizer), "train_mask_decoder": True, "mm_use_im_start_end": True}
    if values.get("image_aspect_ratio") == "pad":  # LLaVA-1.5's; these see the square in the middle, whatever the base
        values["image_aspect_ratio"] = "square"
    return assemble(
        values, weights, tokenizer, base,
        source=path, vision_tower=vision_tower, sam=sam, conv_type=conv_type, style=style,
        proposal_head=proposal_head, dinov2=dinov2, dtype=dtype,
    )  # fmt: skip


def read_unmerged(path: Path) -> tuple[Path, dict[str, Tensor]]:
    """The file of un-merged weights, given by itself or by DeepSpeed's directory, and what it holds."""
    if not path.is_dir():
        return path, read_weight_file(path)
    latest = path / "latest"
    if not latest.is_file():
        raise CheckpointError(f"{path} holds no file `latest`: it is not DeepSpeed's directory of a run")
    name = latest.read_text(encoding="utf-8").strip()
    if Path(name).name != name:
        raise CheckpointError(f"{latest} names {name!r}; it must be a folder beside it")
    path = path / name / _DEEPSPEED_FILE
    return path, read_weight_file(path, part="module")


def _recognised(weights: Mapping[str, Tensor], path: Path) -> str:
    """Name of the style whose own weights are there. Raises ConfigurationError."""
    for style in STYLES.values():
        if style.weight_prefix and any(key.startswith(style.weight_prefix) for key in weights):
            return style.name
    raise ConfigurationError(
        f"{path}: un-merged weights do not tell their style; give style=NAME, one of {', '.join(STYLES)}"
    )


def merge_adapters(weights: Mapping[str, Tensor], alpha: float, source: object) -> dict[str, Tensor]:
    """Weights with each adapter added to its layer, in float32: W + B A alpha / r, r by the adapter's shape.

    Raises CheckpointError where there is no adapter, a half of one is missing, or one does not fit its layer.
    """
    merged = {key: value for key, value in weights.items() if ".lora_" not in key}
    adapters = [key for key in weights if ".lora_" in key]
    if not adapters:
        raise CheckpointError(f"{source} holds no adapters (lora_A, lora_B): it is no un-merged checkpoint")
    for key in adapters:
        layer = key.removesuffix(_LORA_A).removesuffix(_LORA_B)
        if layer == key:
            raise CheckpointError(f"{source}: {key} is no weight of an adapter that is known; only lora_A and lora_B")
        a, b, name = weights.get(layer + _LORA_A), weights.get(layer + _LORA_B), f"{layer}.weight"
        if a is None or b is None or name not in merged:
            lacking = layer + _LORA_A if a is None else layer + _LORA_B if b is None else name
            raise CheckpointError(f"{source}: {key} has no {lacking} beside it; the file is not complete")
        if a.ndim != 2 or b.ndim != 2 or len(a) != b.shape[1] or (len(b), a.shape[1]) != tuple(weights[name].shape):
            raise CheckpointError(
                f"{source}: the adapter {tuple(b.shape)} x {tuple(a.shape)} does not fit {name}, "
                f"{tuple(weights[name].shape)}; give the base that it was trained on"
            )
        if key.endswith(_LORA_A):
            merged[name] = weights[name].float() + (b.float() @ a.float()) * (alpha / len(a))
    return merged


def _check_own(found: Mapping[str, Tensor], vocabulary: int, path: Path, base: Path, tokens: tuple[str, ...]) -> None:
    """The parts that only the file can give. Raises CheckpointError."""
    for part in (*_OWN_PARTS, *_OWN_MATRICES):
        if not any(key.startswith(part) for key in found):
            raise CheckpointError(f"{path} lacks {part}*, which its training made anew; the file is not complete")
    for name in _OWN_MATRICES:
        if len(found[name]) != vocabulary:
            raise CheckpointError(
                f"{path}: {name} has {len(found[name])} rows, the tokenizer of {base} has {vocabulary} tokens with "
                f"{', '.join(tokens)}; give the base, and the style, that it was trained with"
            )


def _below(found: Mapping[str, Tensor], base: Path, sam_checkpoint: str | Path | None, path: Path) -> dict[str, Tensor]:
    """What the file lacks, from the models it began with."""
    weights: dict[str, Tensor] = {}
    if "model.norm.weight" not in found:  # the frozen language model was not saved
        own = (*_OWN_PARTS, *_OWN_MATRICES)
        weights = {key: value for key, value in read_weights(base).items() if not key.startswith(own)}
    if f"{_SAM}image_encoder.pos_embed" not in found:
        if sam_checkpoint is None:
            raise CheckpointError(
                f"{path} lacks Segment Anything's image encoder; give its file with sam_checkpoint=PATH, as "
                "sam_vit_h_4b8939.pth"
            )
        sam = read_weight_file(Path(expand_home(sam_checkpoint)))
        weights |= {f"{_SAM}{key}": value for key, value in sam.items()}
    return weights
