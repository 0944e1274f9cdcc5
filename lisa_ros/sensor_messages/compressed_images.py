"""sensor_msgs/CompressedImage of a colour camera: what its `format` says about the bytes.

compressed_image_transport writes "ENCODING; CODEC compressed PAYLOAD": the camera's encoding, then the order of the
channels that OpenCV was given to encode. A file holds red, green and blue by convention, and OpenCV takes what it is
given for BGR: payload "rgb8" says that red and blue are exchanged in the file. Drivers write "jpeg" or "png" alone, or
the whole from memory: with other blanks and letters, and with words left out.
"""

import re
from dataclasses import dataclass

import cv2
import numpy as np

from lisa_ros.errors import InvalidImageError
from lisa_ros.image_encodings import COLOUR_ENCODINGS, ENCODINGS, PLANAR, as_8_bits, as_rgb, is_grey, is_mosaic
from lisa_ros.images import decompress

_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class CompressedFormat:
    """encoding: the camera's, "" where it is not told. codec: "jpeg", "png", ... payload: "" where it is not told."""

    encoding: str
    codec: str
    payload: str

    @classmethod
    def parse(cls, text: str) -> "CompressedFormat":
        """From `CompressedImage.format`; blanks and letter case do not matter."""
        head, separator, tail = (part.strip() for part in text.partition(";"))
        first, *rest = _WORD.findall(head) or [""]
        encoding = _known(first) or (head if separator else "")
        words = _WORD.findall((tail if separator else head if not _known(first) else " ".join(rest)).lower())
        after = words[words.index("compressed") + 1 :] if "compressed" in words else []
        orders = [word for word in words[1:] if word in COLOUR_ENCODINGS]  # where "compressed" was left out
        return cls(encoding, words[0] if words else "", (after or orders or [""])[0])


def _known(word: str) -> str:
    """The encoding that a word names, or a mosaic without its bits; "" for none."""
    found = (name for name in (*ENCODINGS, *PLANAR) if name.lower() in (word.lower(), f"{word.lower()}8"))
    return next((name for name in found if name.lower() == word.lower() or is_mosaic(name)), "")


def decode_compressed(message, bits: int = 0) -> tuple[np.ndarray, str]:
    """(H, W, 3) uint8 RGB of a CompressedImage (JPEG, PNG), and what a person should know about it ("" for nothing).

    EXIF orientation is left alone. bits: as of `as_8_bits`. Raises InvalidImageError.
    """
    name, form = message.format, CompressedFormat.parse(message.format)
    # Millimetres look like an almost black picture, in which a model finds nothing.
    if form.codec == "compresseddepth" or (form.encoding in ENCODINGS and form.encoding not in COLOUR_ENCODINGS):
        raise InvalidImageError(
            f"compressed image of {name!r} is not supported: {form.encoding!r} is no colour; remap `image` to the "
            "camera's colour topic"
        )
    pixels = decompress(message.data, cv2.IMREAD_UNCHANGED, name)
    if pixels.ndim == 2:
        return _one_channel(pixels, form, name, bits)
    rgb, note = as_8_bits(pixels[..., :3], bits)
    is_exchanged = form.payload.startswith("rgb")
    return np.ascontiguousarray(rgb if is_exchanged else rgb[..., ::-1]), note


def _one_channel(pixels: np.ndarray, form: CompressedFormat, name: str, bits: int) -> tuple[np.ndarray, str]:
    suffix = 16 if pixels.dtype == np.uint16 else 8
    is_grey_payload = form.payload.startswith("mono")
    if is_mosaic(form.encoding) and not is_grey_payload:
        return as_rgb(pixels, f"{form.encoding.rstrip('0123456789')}{suffix}", bits)
    if not is_grey_payload and (form.encoding in PLANAR or "bayer" in form.encoding.lower()):
        raise InvalidImageError(
            f"compressed image of {name!r} has one channel, and how {form.encoding!r} puts colour into it is not "
            "known: let the camera or image_proc publish rgb8 or bgr8, or take the raw topic (image_transport raw)"
        )
    rgb, note = as_rgb(pixels, f"mono{suffix}", bits)
    if form.encoding and not is_grey(form.encoding):
        is_known = form.encoding in COLOUR_ENCODINGS
        lost = (
            f"the compressed image ({name!r}) is grey, "
            + ("its colour is gone" if is_known else f"and {form.encoding!r} is no encoding that is known")
            + ": let the camera or image_proc publish rgb8 or bgr8, or take the raw topic (image_transport raw)"
        )
        return rgb, "; ".join(text for text in (lost, note) if text)
    return rgb, note
