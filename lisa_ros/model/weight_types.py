"""The floating-point type of each weight of a checkpoint."""

import torch
from torch import Tensor

from lisa_ros.errors import CheckpointError
from lisa_ros.model.config import LisaConfig
from lisa_ros.model.sam_config import SamConfig
from lisa_ros.model.weights import check_finite

SAM = "model.visual_model."
# Small parts that decide the masks and cost nothing: never below float32, as published files store them.
FLOAT32_PARTS = (
    "model.text_hidden_fcs.",
    f"{SAM}mask_decoder.",
    f"{SAM}prompt_encoder.",
    f"{SAM}image_encoder.neck.",
    f"{SAM}model.transformer_module.",  # of Mask2Former
    "model.lisa_",  # of LLM-Seg: what scores proposals
)
_TABLES = "rotary_emb."  # computed, never stored


def cast_weight(key: str, value: Tensor, config: LisaConfig, dtype: torch.dtype, source: object) -> Tensor:
    """A weight in the type that it has in a network of `dtype`; itself where nothing changes.

    key: as in checkpoints. source: for the message. Raises CheckpointError where float16 does not hold a value.
    """
    if not value.is_floating_point() or _TABLES in key:
        return value
    stem = isinstance(config.sam, SamConfig) and config.sam.stem_channels is not None
    keep = key.startswith(FLOAT32_PARTS) or (stem and key.startswith(SAM))
    cast = value.to(torch.float32 if keep else dtype)
    if cast.dtype == torch.float16:  # the one type with a smaller range than published weights have
        try:
            check_finite({key: cast}, source)
        except CheckpointError as error:
            raise CheckpointError(
                f"{source}: weights are too large for float16; load the checkpoint with precision bf16 or fp32"
            ) from error
    return cast
