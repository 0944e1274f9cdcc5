"""Sizes of a Segment Anything network: checked, and read off the shapes of published weights."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields

from torch import Tensor

from lisa_ros.errors import CheckpointError, ConfigurationError
from lisa_ros.model.checks import check_switch, check_whole, check_wholes


@dataclass(frozen=True)
class SamConfig:
    """Sizes of the network; the defaults are those of ViT-H, which every published LISA uses."""

    image_size: int = 1024
    patch_size: int = 16
    embed_dim: int = 1280
    depth: int = 32
    num_heads: int = 16
    global_attn_indexes: tuple[int, ...] = (7, 15, 23, 31)
    window_size: int = 14
    prompt_embed_dim: int = 256
    decoder_depth: int = 2
    decoder_mlp_dim: int = 2048
    decoder_heads: int = 8
    iou_head_depth: int = 3
    iou_head_hidden_dim: int = 256
    stem_channels: tuple[int, ...] | None = None
    stem_depths: tuple[int, ...] | None = None
    high_res_features: bool = False

    def __post_init__(self) -> None:
        self._check_types()
        if self.image_size % self.patch_size:
            raise ConfigurationError(
                f"sam.image_size {self.image_size} is not a multiple of sam.patch_size {self.patch_size}"
            )
        if self.embed_dim % self.num_heads:
            raise ConfigurationError(f"sam.embed_dim {self.embed_dim} is not a multiple of its {self.num_heads} heads")
        if self.prompt_embed_dim % (2 * self.decoder_heads):  # attention between image and tokens has half the width
            raise ConfigurationError(
                f"sam.prompt_embed_dim {self.prompt_embed_dim} is not a multiple of "
                f"twice its {self.decoder_heads} heads"
            )
        if self.high_res_features and self.stem_channels is None:
            raise ConfigurationError("sam.high_res_features needs sam.stem_channels: they come from the stem")
        if self.stem_channels is not None and (
            self.patch_size != 16 or len(self.stem_channels) != 3 or len(self.stem_depths or ()) != 3
        ):
            raise ConfigurationError(
                "a convolutional stem needs sam.patch_size 16 and three sam.stem_channels and sam.stem_depths "
                "(strides 4, 8, 16)"
            )

    def _check_types(self) -> None:
        for field in fields(self):
            if field.type is int:  # a window of 0: attention without windows
                check_whole(f"sam.{field.name}", getattr(self, field.name), 0 if field.name == "window_size" else 1)
        check_wholes("sam.global_attn_indexes", self.global_attn_indexes)
        for name in ("stem_channels", "stem_depths"):
            if getattr(self, name) is not None:
                check_wholes(f"sam.{name}", getattr(self, name))
        check_switch("sam.high_res_features", self.high_res_features)

    @property
    def grid_size(self) -> int:
        """Side of the square feature map."""
        return self.image_size // self.patch_size

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> "SamConfig":
        """Reads what `to_dict` wrote; unknown keys raise ConfigurationError."""
        if not isinstance(values, Mapping):
            raise ConfigurationError(f"the sam configuration is {values!r}; it must be a table of names and sizes")
        names = {field.name for field in fields(cls)}
        unknown = sorted(map(str, set(values) - names))
        if unknown:
            raise ConfigurationError(f"unknown keys in the sam configuration: {', '.join(unknown)}")
        return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})

    def to_dict(self) -> dict[str, object]:
        """JSON-ready values."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


def infer_sam_config(state: Mapping[str, Tensor], overrides: Mapping[str, object] | None = None) -> SamConfig:
    """Sizes from the shapes of a `Sam` state dict without options (keys as in `sam_vit_h_4b8939.pth`).

    Shapes do not tell the number of decoder heads: it is the published 8 unless `overrides` says otherwise.
    Raises CheckpointError naming the key that is missing.
    """
    try:
        shape = {key: tuple(value.shape) for key, value in state.items()}
        embed_dim, _, patch_size, _ = shape["image_encoder.patch_embed.proj.weight"]
        grid = shape["image_encoder.pos_embed"][1]
        blocks = [key for key in shape if re.fullmatch(r"image_encoder\.blocks\.\d+\.attn\.rel_pos_h", key)]
        lengths = {int(key.split(".")[2]): shape[key][0] for key in blocks}
        head_dim = shape[blocks[0]][1]
        windows = sorted({(length + 1) // 2 for length in lengths.values()} - {grid})
        inferred = {
            "image_size": grid * patch_size,
            "patch_size": patch_size,
            "embed_dim": embed_dim,
            "depth": len(blocks),
            "num_heads": embed_dim // head_dim,
            "global_attn_indexes": tuple(sorted(i for i, length in lengths.items() if (length + 1) // 2 == grid)),
            "window_size": windows[0] if windows else grid,
            "prompt_embed_dim": shape["mask_decoder.iou_token.weight"][1],
            "decoder_depth": _count(shape, r"mask_decoder\.transformer\.layers\.\d+\.norm1\.weight"),
            "decoder_mlp_dim": shape["mask_decoder.transformer.layers.0.mlp.lin1.weight"][0],
            "iou_head_depth": _count(shape, r"mask_decoder\.iou_prediction_head\.layers\.\d+\.weight"),
            "iou_head_hidden_dim": shape["mask_decoder.iou_prediction_head.layers.0.weight"][0],
        }
    except (KeyError, IndexError, ValueError) as error:
        raise CheckpointError(
            f"the checkpoint's Segment Anything part is not complete: {error} is missing or has another shape; "
            "a LISA checkpoint holds the whole `model.visual_model.*`"
        ) from error
    return SamConfig.from_dict({**inferred, **(overrides or {})})


def _count(keys: Iterable[str], pattern: str) -> int:
    return sum(re.fullmatch(pattern, key) is not None for key in keys)
