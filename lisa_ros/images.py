"""Image files and compressed images: read as RGB, written as PNG."""

import io
import logging
import struct
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

from lisa_ros.errors import ConfigurationError, InvalidImageError
from lisa_ros.git_lfs import explain_pointer
from lisa_ros.image_encodings import as_8_bits

_log = logging.getLogger(__name__)

MAX_PIXELS = 64_000_000  # of a compressed image: a few bytes can claim to be gigabytes


def read_image(path: Path, as_stored: bool = False) -> np.ndarray:
    """(H, W, 3) uint8 RGB of an image file, turned as its EXIF orientation says.

    Of 16 bits the upper 8 are taken, as OpenCV does; where they hold nothing above 14 bits, the range is read off the
    largest value, and a warning says so: a sensor's 10 or 12 bits would be a black picture. as_stored: leave the pixels
    where they are in the file. Raises InvalidImageError.
    """
    try:
        with Image.open(path) as image:
            is_png = image.format == "PNG"
            if is_png and ";16" in str(image.tile[0][3]):
                image = _of_8_bits(image, path)
            return _to_rgb(image if as_stored else ImageOps.exif_transpose(image), is_png, path)
    except FileNotFoundError:
        raise InvalidImageError(f"there is no file {path}") from None
    except (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError) as error:
        raise InvalidImageError(explain_pointer(path) or f"{path} cannot be read as an image: {error}") from error


def _of_8_bits(image: Image.Image, path: Path) -> Image.Image:
    """A PNG of 16 bits and several channels, of which Pillow drops what a dark picture lies in."""
    if image.mode.startswith("I"):
        return image
    pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.ndim != 3:
        return image
    found = Image.fromarray(_upper_byte(pixels[..., 2::-1], path))
    found.info = image.info
    return found


def _upper_byte(pixels: np.ndarray, path: Path) -> np.ndarray:
    """uint8 of uint16."""
    levels, remark = as_8_bits(pixels)
    if not remark:
        return (pixels >> 8).astype(np.uint8)
    _log.warning("%s: %s", path, remark.partition(";")[0])
    return levels


def _to_rgb(image: Image.Image, is_png: bool, path: Path) -> np.ndarray:
    """Pillow clips what has more than 8 bits: nearly all of a 16-bit picture would be white."""
    if image.mode.startswith("I;16") or (image.mode == "I" and is_png):  # older Pillows open 16-bit PNG as "I"
        grey = _upper_byte(np.asarray(image).astype(np.uint16), path)
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
