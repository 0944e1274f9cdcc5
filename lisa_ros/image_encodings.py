"""Every encoding of sensor_msgs/Image that the package reads: how it lies in memory, and how it becomes RGB.

The encodings are those of sensor_msgs/image_encodings.hpp that cv_bridge or OpenCV convert to colour, and nv12, which
drivers of embedded boards write although that header lacks it.
"""

import cv2
import numpy as np

from lisa_ros.errors import InvalidImageError

_RGB = {
    f"{order}{bits}": (dtype, len(order))
    for bits, dtype in ((8, np.uint8), (16, np.uint16))
    for order in ("rgb", "bgr", "rgba", "bgra")
}
_GREY = {"mono8": (np.uint8, 1), "mono16": (np.uint16, 1), "8UC1": (np.uint8, 1)}
# OpenCV's types say nothing of an order; cv_bridge and OpenCV take them for BGR.
_TYPES = {"8UC3": (np.uint8, 3), "8UC4": (np.uint8, 4), "16UC3": (np.uint16, 3), "16UC4": (np.uint16, 4)}
# OpenCV names a mosaic by its second row from the second column on, ROS by its first row from the first.
_BAYER = {
    "bayer_rggb": cv2.COLOR_BayerBG2RGB,
    "bayer_bggr": cv2.COLOR_BayerRG2RGB,
    "bayer_gbrg": cv2.COLOR_BayerGR2RGB,
    "bayer_grbg": cv2.COLOR_BayerGB2RGB,
}
_MOSAICS = {f"{name}{bits}": (kind, 1) for name in _BAYER for bits, kind in ((8, np.uint8), (16, np.uint16))}
_YUV = {
    "yuv422": cv2.COLOR_YUV2RGB_UYVY,
    "uyvy": cv2.COLOR_YUV2RGB_UYVY,
    "yuv422_yuy2": cv2.COLOR_YUV2RGB_YUY2,
    "yuyv": cv2.COLOR_YUV2RGB_YUY2,
}

COLOUR_ENCODINGS = (*_RGB, *_GREY, *_TYPES, *_MOSAICS, *_YUV, "nv12", "nv21", "nv24")
DEPTH_ENCODINGS = ("16UC1", "mono16", "32FC1")

# encoding -> (dtype, channels), of those whose pixels lie side by side
ENCODINGS = {
    **_RGB,
    **_GREY,
    **_TYPES,
    **_MOSAICS,
    **{name: (np.uint8, 2) for name in _YUV},
    "16UC1": (np.uint16, 1),
    "32FC1": (np.float32, 1),
}
# encoding -> rows of samples for two rows of pixels: the plane of brightness, then that of interleaved colour
PLANAR = {"nv12": 3, "nv21": 3, "nv24": 6}
_SENSOR_BITS = (8, 10, 12, 14, 16)


def is_mosaic(encoding: str) -> bool:
    """Whether a picture of the encoding has one colour at each pixel."""
    return encoding in _MOSAICS


def is_grey(encoding: str) -> bool:
    """Whether the encoding says that there is no colour."""
    return encoding in _GREY


def sizes_fit(encoding: str, width: int, height: int) -> bool:
    """Whether an image of the encoding can have that size: colour that is shared by pixels needs pairs of them."""
    if encoding in ("nv12", "nv21"):
        return width % 2 == 0 and height % 2 == 0
    return encoding not in _YUV or width % 2 == 0


def as_rgb(pixels: np.ndarray, encoding: str, bits: int = 0) -> tuple[np.ndarray, str]:
    """(H, W, 3) uint8 RGB, contiguous, of decoded pixels, and what a person should know about it ("" for nothing).

    pixels: (H, W) or (H, W, C) in the encoding's dtype; (rows of samples, W) where it is planar. bits: as of
    `as_8_bits`. Raises InvalidImageError for an encoding that is no colour.
    """
    if encoding not in COLOUR_ENCODINGS:
        raise InvalidImageError(
            f"colour image encoding {encoding!r} is not supported; use one of {', '.join(COLOUR_ENCODINGS)}"
        )
    if encoding in _YUV and not sizes_fit(encoding, pixels.shape[1], pixels.shape[0]):
        raise InvalidImageError(f"{encoding} shares colour between two pixels, a width of {pixels.shape[1]} is odd")
    pixels, note = as_8_bits(pixels, bits)
    if encoding in PLANAR:
        return _planar_as_rgb(pixels, encoding), note
    if encoding in _YUV:
        return cv2.cvtColor(pixels, _YUV[encoding]), note
    if encoding in _MOSAICS:
        return _demosaiced(pixels, encoding), note
    if encoding in _GREY:
        return np.repeat(pixels[..., None], 3, axis=2), note
    is_rgb = encoding.startswith("rgb")
    return np.ascontiguousarray(pixels[..., :3] if is_rgb else pixels[..., 2::-1]), note


def as_8_bits(pixels: np.ndarray, bits: int = 0) -> tuple[np.ndarray, str]:
    """uint8 of uint8 or uint16 pixels, and how the range was found where that was a guess.

    bits: how many of 16 the sensor fills from below; 0: the fewest of 8, 10, 12, 14 and 16 that hold the largest value.
    A message does not say, and 10 bits read as 16 are a black picture.
    """
    if pixels.dtype == np.uint8:
        return pixels, ""
    largest = int(pixels.max(initial=0))
    found = bits or next(count for count in _SENSOR_BITS if largest < 1 << count)
    limit = (1 << found) - 1
    levels = np.rint(np.minimum(np.arange(1 << 16), limit) * (255 / limit)).astype(np.uint8)
    note = ""
    if not bits and largest > 0 and found < 16:
        note = (
            f"the 16-bit image has no value above {largest} and was read as one of {found} bits; the parameter "
            "image_bits gives the sensor's"
        )
    return levels[pixels], note


def _demosaiced(pixels: np.ndarray, encoding: str) -> np.ndarray:
    if min(pixels.shape) < 3:
        raise InvalidImageError(f"{encoding} of {pixels.shape[1]}x{pixels.shape[0]} pixels is too small for its colour")
    return cv2.cvtColor(pixels, _BAYER[encoding.rstrip("0123456789")])


def _planar_as_rgb(pixels: np.ndarray, encoding: str) -> np.ndarray:
    if encoding == "nv12":
        return cv2.cvtColor(pixels, cv2.COLOR_YUV2RGB_NV12)
    if encoding == "nv21":
        return cv2.cvtColor(pixels, cv2.COLOR_YUV2RGB_NV21)
    # OpenCV has no nv24. Its colour plane is that of an nv12 image twice as large in both directions.
    height = pixels.shape[0] // 3
    brightness = pixels[:height].repeat(2, axis=0).repeat(2, axis=1)
    colour = pixels[height:].reshape(height, -1)
    large = cv2.cvtColor(np.concatenate([brightness, colour]), cv2.COLOR_YUV2RGB_NV12)
    return np.ascontiguousarray(large[::2, ::2])
