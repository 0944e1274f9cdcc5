"""AlphaCLIP's visual tower: an image with one of its masks -> an embedding of what the mask shows."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.transforms.functional import resize

from lisa_ros.errors import CheckpointError, InvalidImageError
from lisa_ros.model.files import expand_home
from lisa_ros.model.preprocess import ClipPreprocessor, check_image
from lisa_ros.model.weights import check_finite, check_weights, read_weight_file

ALPHACLIP_FILE = "clip_b16_grit1m_fultune_8xe.pth"
ALPHACLIP_SOURCE = "https://download.openxlab.org.cn/models/SunzeY/AlphaCLIP/weight/" + ALPHACLIP_FILE
_HEAD_WIDTH = 64  # of every published CLIP
_ALPHA_MEAN, _ALPHA_STD = 0.5, 0.26
_OPAQUE = 255
_MASKS_AT_ONCE = 8


class AlphaClipTower(nn.Module):
    """CLIP's vision transformer with a second patch convolution, for the mask. Sizes follow from the weights.

    Parameter names are those of AlphaCLIP's published file.

    Attributes:
        image_size: Side of the square input in pixels.
        embedding_dim: Length of an embedding.
    """

    def __init__(self, *, width: int, layers: int, patch: int, positions: int, embedding_dim: int) -> None:
        super().__init__()
        scale = width**-0.5
        self.image_size = round((positions - 1) ** 0.5) * patch
        self.embedding_dim = embedding_dim
        self.class_embedding = nn.Parameter(scale * torch.randn(width))
        self.positional_embedding = nn.Parameter(scale * torch.randn(positions, width))
        self.proj = nn.Parameter(scale * torch.randn(width, embedding_dim))
        self.conv1 = nn.Conv2d(3, width, patch, patch, bias=False)
        self.conv1_alpha = nn.Conv2d(1, width, patch, patch, bias=False)
        self.ln_pre = nn.LayerNorm(width)
        self.transformer = nn.Module()
        self.transformer.resblocks = nn.ModuleList(_Block(width) for _ in range(layers))
        self.ln_post = nn.LayerNorm(width)

    def forward(self, images: Tensor, alphas: Tensor) -> Tensor:
        """Images (n, 3, S, S) and masks (n, 1, S, S), both normalised -> (n, embedding_dim), not of length 1."""
        patches = (self.conv1(images) + self.conv1_alpha(alphas)).flatten(2).transpose(1, 2)
        first = self.class_embedding.expand(len(patches), 1, -1)
        states = self.ln_pre(torch.cat([first, patches], dim=1) + self.positional_embedding)
        for block in self.transformer.resblocks:
            states = block(states)
        return self.ln_post(states[:, 0]) @ self.proj

    @torch.no_grad()
    def embed(self, image: np.ndarray, masks: Sequence[np.ndarray], *, masked: bool = False) -> Tensor:
        """Embeddings of length 1 of an image's masks.

        Args:
            image: (H, W, 3) uint8 RGB.
            masks: Each (H, W), bool, or uint8 of which only 255 counts, as official preprocessing has it.
            masked: Show the image black outside each mask, as ELISA's committed preprocessing does and its inference
                does not.

        Returns:
            (n, embedding_dim) float32, on the tower's device; (0, embedding_dim) without masks.

        Raises:
            InvalidImageError: The image, or a mask, is of another shape or dtype.
        """
        check_image(image)
        opaque = [_opaque(mask, image) for mask in masks]
        preprocess = ClipPreprocessor(self.image_size, self.image_size)
        weight, found = self.conv1.weight, []
        whole = preprocess(image)
        for first in range(0, len(opaque), _MASKS_AT_ONCE):
            part = opaque[first : first + _MASKS_AT_ONCE]
            shown = [preprocess(image * mask[..., None]) for mask in part] if masked else [whole] * len(part)
            alphas = torch.stack([alpha_channel(mask, self.image_size) for mask in part])
            raw = self(torch.cat(shown).to(weight), alphas.to(weight)).float()
            found.append(F.normalize(raw, dim=-1))
        return torch.cat(found) if found else weight.new_zeros((0, self.embedding_dim), dtype=torch.float32)


def alpha_channel(mask: np.ndarray, size: int) -> Tensor:
    """A mask (H, W) bool -> (1, size, size) float32, normalised. It is squashed, while the image is cropped."""
    values = torch.from_numpy(np.ascontiguousarray(mask))[None].float()
    return (resize(values, [size, size], antialias=True) - _ALPHA_MEAN) / _ALPHA_STD


def _opaque(mask: np.ndarray, image: np.ndarray) -> np.ndarray:
    if not isinstance(mask, np.ndarray) or mask.dtype not in (np.bool_, np.uint8) or mask.shape != image.shape[:2]:
        found = f"{mask.dtype} {mask.shape}" if isinstance(mask, np.ndarray) else type(mask).__name__
        raise InvalidImageError(f"a mask must be a bool or uint8 array of the image's {image.shape[:2]}, not {found}")
    return mask if mask.dtype == np.bool_ else mask == _OPAQUE


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.attn = _Attention(width)
        self.ln_1 = nn.LayerNorm(width)
        self.mlp = nn.Module()
        self.mlp.c_fc = nn.Linear(width, 4 * width)
        self.mlp.c_proj = nn.Linear(4 * width, width)
        self.ln_2 = nn.LayerNorm(width)

    def forward(self, states: Tensor) -> Tensor:
        states = states + self.attn(self.ln_1(states))
        inner = self.mlp.c_fc(self.ln_2(states))
        return states + self.mlp.c_proj(inner * torch.sigmoid(1.702 * inner))


class _Attention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = width // _HEAD_WIDTH
        self.in_proj = nn.Linear(width, 3 * width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, states: Tensor) -> Tensor:
        n, length, width = states.shape
        parts = self.in_proj(states).view(n, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(*parts)
        return self.out_proj(mixed.transpose(1, 2).reshape(n, length, width))


def load_alphaclip(path: str | Path) -> AlphaClipTower:
    """The tower in a published file of AlphaCLIP's visual weights, in eval mode on the CPU.

    Args:
        path: The file, or the directory that it lies in under its published name.

    Returns:
        The tower, in float32.

    Raises:
        CheckpointError: The file is missing, damaged or of another model; the message says where it comes from.
    """
    path = Path(expand_home(path))
    path = path / ALPHACLIP_FILE if path.is_dir() else path
    if not path.is_file():
        raise CheckpointError(
            f"AlphaCLIP's weights are missing: {path}. Download {ALPHACLIP_FILE} from {ALPHACLIP_SOURCE} and put it "
            "there, or name the file with alphaclip=PATH (--alphaclip PATH)"
        )
    weights = read_weight_file(path)
    try:
        width, _, patch, _ = weights["conv1_alpha.weight"].shape
        positions = len(weights["positional_embedding"])
        embedding_dim = weights["proj"].shape[1]
    except (KeyError, ValueError, IndexError) as error:
        raise CheckpointError(
            f"{path} is not AlphaCLIP's visual tower ({error!r}); its published file is {ALPHACLIP_SOURCE}"
        ) from error
    layers = len({key.split(".")[2] for key in weights if key.startswith("transformer.resblocks.")})
    tower = AlphaClipTower(width=width, layers=layers, patch=patch, positions=positions, embedding_dim=embedding_dim)
    check_weights(weights, tower.state_dict(), [], path)
    check_finite(weights, path)
    tower.load_state_dict(weights)
    return tower.eval()
