"""Image files and compressed images: read as RGB, written as PNG."""

import io
import struct
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

from lisa_ros.errors import ConfigurationError, InvalidImageError

MAX_PIXELS = 64_000_000  # of a compressed image: a few bytes can claim to be gigabytes


def read_image(path: Path, as_stored: bool = False) -> np.ndarray:
    """(H, W, 3) uint8 RGB of an image file, turned as its EXIF orientation says; of 16 bits the upper 8 are taken.

    as_stored: leave the pixels where they are in the file. Raises InvalidImageError.
    """
    try:
        with Image.open(path) as image:
            is_png = image.format == "PNG"
            return _to_rgb(image if as_stored else ImageOps.exif_transpose(image), is_png)
    except FileNotFoundError:
        raise InvalidImageError(f"there is no file {path}") from None
    except (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError) as error:
        raise InvalidImageError(f"{path} cannot be read as an image: {error}") from error


def _to_rgb(image: Image.Image, is_png: bool) -> np.ndarray:
    """Pillow clips what has more than 8 bits: nearly all of a 16-bit picture would be white."""
    if image.mode.startswith("I;16") or (image.mode == "I" and is_png):  # older Pillows open 16-bit PNG as "I"
        grey = (np.asarray(image) >> 8).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode in ("I", "F"):
        raise ValueError(
            f"its pixels have 32 bits (mode {image.mode}) and no known range; save it with 8 bits a channel"
        )
    return np.array(image.convert("RGB"))


def write_image(path: Path, image_rgb: np.ndarray):
    """Writes (H, W, 3) uint8 RGB or (H, W) uint8. Raises ConfigurationError where the file cannot be written."""
    try:
        Image.fromarray(image_rgb).save(path)
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror or error}") from error


def write_mask(path: Path, mask: np.ndarray):
    """Writes (H, W) bool as black and white. Raises ConfigurationError."""
    write_image(path, mask.astype(np.uint8) * 255)


def decompress(data, flags: int, name: str) -> np.ndarray:
    """Pixels of the bytes of a JPEG or PNG, as `cv2.imdecode` gives them for `flags`; name: what errors call it.

    Raises InvalidImageError.
    """
    compressed_size(data, name)
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise InvalidImageError(
            f"compressed image ({name!r}, {len(data)} bytes) cannot be decoded: {error.err}"
        ) from error
    if pixels is None:
        raise _not_whole(data, name)
    return pixels


def compressed_size(data, name: str = "image") -> tuple[int, int]:
    """(width, height) by the header alone, before memory for the pixels is taken.

    Raises InvalidImageError for more pixels than MAX_PIXELS, and for what is no JPEG or PNG.
    """
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as image:
            width, height = image.size
    except Image.DecompressionBombError as error:
        raise InvalidImageError(f"compressed image ({name!r}, {len(data)} bytes): {error}") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise _not_whole(data, name) from error
    if width * height > MAX_PIXELS:
        raise InvalidImageError(
            f"compressed image ({name!r}, {len(data)} bytes) claims {width}x{height} pixels; the limit is {MAX_PIXELS}"
        )
    return width, height


def _not_whole(data, name: str) -> InvalidImageError:
    return InvalidImageError(f"compressed image ({name!r}, {len(data)} bytes) is neither a whole JPEG nor a whole PNG")


def decompress_rgb(data, name: str = "image") -> np.ndarray:
    """(H, W, 3) uint8 RGB, contiguous, of the bytes of a JPEG or PNG; EXIF orientation is left alone.

    To the pixel what `compressed_images` makes of the same bytes in a topic or a bag.
    Raises InvalidImageError.
    """
    return decompress(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION, name)[..., ::-1].copy()
