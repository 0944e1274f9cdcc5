"""Image files: read as RGB, written as PNG."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from lisa_ros.errors import ConfigurationError, InvalidImageError


def read_image(path: Path) -> np.ndarray:
    """(H, W, 3) uint8 RGB of an image file, turned as its EXIF orientation says. Raises InvalidImageError."""
    try:
        with Image.open(path) as image:
            return np.array(ImageOps.exif_transpose(image).convert("RGB"))
    except FileNotFoundError:
        raise InvalidImageError(f"there is no file {path}") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InvalidImageError(f"{path} cannot be read as an image: {error}") from error


def write_image(path: Path, image_rgb: np.ndarray):
    """Writes (H, W, 3) uint8 RGB or (H, W) uint8. Raises ConfigurationError where the file cannot be written."""
    try:
        Image.fromarray(image_rgb).save(path)
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror or error}") from error


def write_mask(path: Path, mask: np.ndarray):
    """Writes (H, W) bool as black and white. Raises ConfigurationError."""
    write_image(path, mask.astype(np.uint8) * 255)
