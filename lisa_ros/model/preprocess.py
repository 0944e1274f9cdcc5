"""Images into the network's tensors, and mask logits back to the image's size, exactly as LISA was trained."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from lisa_ros.errors import CheckpointError, ConfigurationError, InvalidImageError
from lisa_ros.model.checks import check_whole
from lisa_ros.model.config_keys import check_preprocessor_keys
from lisa_ros.model.files import read_json

SAM_MEAN = (123.675, 116.28, 103.53)
SAM_STD = (58.395, 57.12, 57.375)
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
MAX_ASPECT_RATIO = 100
PREPROCESSOR_FILE = "preprocessor_config.json"


def check_image(image: np.ndarray) -> None:
    """Raises InvalidImageError unless `image` is (H, W, 3) uint8 with a sane aspect ratio."""
    if not isinstance(image, np.ndarray) or image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        found = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise InvalidImageError(f"the image must be a (H, W, 3) uint8 RGB array, not {found}")
    height, width = image.shape[:2]
    if min(height, width) == 0 or max(height, width) > MAX_ASPECT_RATIO * min(height, width):
        raise InvalidImageError(
            f"the image is {width}x{height}; both sides must be positive and their ratio at most {MAX_ASPECT_RATIO}"
        )


@dataclass(frozen=True)
class ClipPreprocessor:
    """Shortest edge to `resize` (bicubic), centre crop to `crop`, to [0, 1], minus mean, by standard deviation."""

    resize: int
    crop: int
    mean: Sequence[float] = CLIP_MEAN
    std: Sequence[float] = CLIP_STD

    @classmethod
    def from_directory(cls, directory: Path, image_size: int) -> "ClipPreprocessor":
        """Reads preprocessor_config.json; without that file, CLIP's published values at the tower's image size."""
        path = Path(directory) / PREPROCESSOR_FILE
        if not path.is_file():
            return cls(image_size, image_size)
        try:
            values = read_json(path)
            check_preprocessor_keys(values, path)
            resize, crop = values.get("size", image_size), values.get("crop_size", image_size)
            resize = resize["shortest_edge"] if isinstance(resize, dict) else int(resize)
            if isinstance(crop, dict) and crop["height"] != crop["width"]:
                raise ConfigurationError(f"crop_size is {crop}; its sides must be equal")
            crop = crop["height"] if isinstance(crop, dict) else int(crop)
            mean, std = values.get("image_mean", CLIP_MEAN), values.get("image_std", CLIP_STD)
            check_whole("size", resize)
            check_whole("crop_size", crop)
            mean, std = _three("image_mean", mean), _three("image_std", std)
            if min(std) <= 0:
                raise ConfigurationError(f"image_std is {std}; it must be above 0")
        except ConfigurationError as error:
            raise CheckpointError(f"{path}: {error}") from error
        except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
            raise CheckpointError(f"{path} is not a CLIP image processor's configuration: {error!r}") from error
        if crop != image_size or resize < crop:
            raise CheckpointError(
                f"{path}: images are resized to {resize} and cropped to {crop}, but the vision tower takes {image_size}"
            )
        return cls(resize, crop, mean, std)

    def __call__(self, image: np.ndarray) -> Tensor:
        """(H, W, 3) uint8 RGB -> (1, 3, crop, crop) float32. What lies outside the centre crop is not seen."""
        height, width = image.shape[:2]
        short, long = min(height, width), max(height, width)
        new_long = int(self.resize * long / short)
        size = (self.resize, new_long) if width <= height else (new_long, self.resize)
        pixels = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
        top, left = (pixels.shape[0] - self.crop) // 2, (pixels.shape[1] - self.crop) // 2
        pixels = pixels[top : top + self.crop, left : left + self.crop]
        scaled = (pixels * (1 / 255)).astype(np.float32)  # in float64 first, as the original
        normalised = (scaled - np.float32(self.mean)) / np.float32(self.std)
        return torch.from_numpy(normalised.transpose(2, 0, 1)[None].copy())


def _three(name: str, values: object) -> tuple[float, float, float]:
    if not isinstance(values, list | tuple) or len(values) != 3 or not all(math.isfinite(value) for value in values):
        raise ConfigurationError(f"{name} is {values!r}; it must be three numbers, of red, green and blue")
    return tuple(values)


def sam_resized_size(height: int, width: int, image_size: int) -> tuple[int, int]:
    """(height, width) of the image inside SAM's square input: longest side = image_size."""
    scale = image_size / max(height, width)
    return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))


def sam_preprocess(image: np.ndarray, image_size: int) -> Tensor:
    """(H, W, 3) uint8 RGB -> (1, 3, S, S) float32: longest side to S (bilinear), normalised, zeros right and below."""
    height, width = sam_resized_size(*image.shape[:2], image_size)
    pixels = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))
    normalised = (pixels.astype(np.float32) - np.float32(SAM_MEAN)) / np.float32(SAM_STD)
    padded = np.zeros((1, 3, image_size, image_size), np.float32)
    padded[0, :, :height, :width] = normalised.transpose(2, 0, 1)
    return torch.from_numpy(padded)


def upscale_logits(low_res: Tensor, image_size: int, height: int, width: int) -> Tensor:
    """Mask logits (n, 1, g, g) of SAM's square input -> (n, H, W) float32 at the size of the image."""
    if not len(low_res):
        return low_res.new_zeros((0, height, width), dtype=torch.float32)
    resized_height, resized_width = sam_resized_size(height, width, image_size)
    square = F.interpolate(low_res.float(), (image_size, image_size), mode="bilinear", align_corners=False)
    inside = square[..., :resized_height, :resized_width]
    return F.interpolate(inside, (height, width), mode="bilinear", align_corners=False)[:, 0]
