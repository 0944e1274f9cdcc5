"""ROS image messages to numpy and back. No rclpy; the messages are read by their fields.

On a ROS installation the distribution's cv_bridge decodes raw images; elsewhere an equal numpy decoder does (PyPI's
cv-bridge breaks with today's OpenCV and numpy). Sizes are checked before either sees the data, because a wrong step
makes cv_bridge read the wrong rows.
"""

import os
import struct
from array import array

import cv2
import numpy as np

from lisa_ros.errors import InvalidImageError
from lisa_ros.geometry import CameraModel
from lisa_ros.geometry.depth import depth_to_metres
from lisa_ros.images import decompress, decompress_rgb

# encoding -> (dtype, channels)
ENCODINGS = {
    "rgb8": (np.uint8, 3),
    "bgr8": (np.uint8, 3),
    "rgba8": (np.uint8, 4),
    "bgra8": (np.uint8, 4),
    "mono8": (np.uint8, 1),
    "mono16": (np.uint16, 1),
    "16UC1": (np.uint16, 1),
    "32FC1": (np.float32, 1),
}
COLOUR_ENCODINGS = ("rgb8", "bgr8", "rgba8", "bgra8", "mono8", "mono16")
DEPTH_ENCODINGS = ("16UC1", "mono16", "32FC1")
# compressed_depth_image_transport: int32 format, float32 quantisation a, float32 quantisation b, then a PNG.
_COMPRESSED_DEPTH_HEADER = struct.Struct("<iff")


def load_cv_bridge():
    """The distribution's CvBridge, or None where no ROS installation is sourced."""
    if "ROS_DISTRO" not in os.environ:
        return None
    try:
        from cv_bridge import CvBridge
    except ImportError:
        return None
    return CvBridge()


_BRIDGE = load_cv_bridge()


def check_image(message) -> None:
    """Raises InvalidImageError for an unsupported encoding, and for a size, step and data length that do not agree."""
    if message.encoding not in ENCODINGS:
        raise InvalidImageError(
            f"image encoding {message.encoding!r} is not supported; use one of {', '.join(ENCODINGS)}"
        )
    dtype, channels = ENCODINGS[message.encoding]
    row = message.width * channels * np.dtype(dtype).itemsize
    if message.width == 0 or message.height == 0:
        raise InvalidImageError(f"image of {message.width}x{message.height} pixels is empty")
    if message.step < row:
        raise InvalidImageError(
            f"image step {message.step} is shorter than a row of {message.width} {message.encoding} pixels, "
            f"which takes {row} bytes"
        )
    if len(message.data) != message.step * message.height:
        raise InvalidImageError(
            f"image data has {len(message.data)} bytes, but step {message.step} x height {message.height} is "
            f"{message.step * message.height}"
        )


def decode_image(message) -> np.ndarray:
    """sensor_msgs/Image to (H, W) or (H, W, C) in the encoding's own dtype and channel order, native endianness."""
    check_image(message)
    if _BRIDGE is None or not _is_row_of_pixels(message):
        return decode_with_numpy(message)
    return _decode_with_cv_bridge(_BRIDGE, message)


def _is_row_of_pixels(message) -> bool:
    # cv_bridge takes a padded row for step // pixel whole pixels: where the padding leaves a rest, each of its rows
    # would begin later than the one before, without a word.
    dtype, channels = ENCODINGS[message.encoding]
    return message.step % (np.dtype(dtype).itemsize * channels) == 0


def decode_with_numpy(message) -> np.ndarray:
    """What cv_bridge's "passthrough" gives, for a message that `check_image` accepted.

    A view of the message where that is possible.
    """
    dtype, channels = ENCODINGS[message.encoding]
    dtype = np.dtype(dtype).newbyteorder(">" if message.is_bigendian else "<")
    row = message.width * channels * dtype.itemsize
    rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)[:, :row]
    pixels = np.ascontiguousarray(rows).view(dtype).astype(dtype.newbyteorder("="), copy=False)
    return pixels.reshape(message.height, message.width, channels) if channels > 1 else pixels


def _decode_with_cv_bridge(bridge, message) -> np.ndarray:
    return np.asarray(bridge.imgmsg_to_cv2(message, desired_encoding="passthrough"))


def to_rgb(message) -> np.ndarray:
    """sensor_msgs/Image or CompressedImage (JPEG, PNG) to (H, W, 3) uint8 RGB, contiguous. Raises InvalidImageError."""
    if hasattr(message, "format"):
        _check_compressed_colour(message.format)
        return decompress_rgb(message.data, message.format)
    if message.encoding not in COLOUR_ENCODINGS:
        raise InvalidImageError(
            f"colour image encoding {message.encoding!r} is not supported; use one of {', '.join(COLOUR_ENCODINGS)}"
        )
    pixels = decode_image(message)
    if message.encoding == "mono16":
        pixels = np.rint(pixels / 257.0).astype(np.uint8)
    if pixels.ndim == 2:
        return np.repeat(pixels[..., None], 3, axis=2)
    return np.ascontiguousarray(pixels[..., 2::-1] if message.encoding.startswith("bgr") else pixels[..., :3])


def _check_compressed_colour(name: str):
    # image_transport names the encoding before the codec. Millimetres look like an almost black picture, in which
    # a model finds nothing.
    encoding = name.split(";")[0].strip()
    if encoding in ENCODINGS and encoding not in COLOUR_ENCODINGS:
        raise InvalidImageError(
            f"compressed image of {name!r} is not supported: {encoding!r} is no colour; remap `image` to the camera's "
            "colour topic"
        )


def to_depth(message) -> np.ndarray:
    """sensor_msgs/Image or CompressedImage (compressedDepth) to (h, w) float32 m, 0 where invalid.

    Raises InvalidImageError.
    """
    if hasattr(message, "format"):
        return _decompress_depth(message)
    if message.encoding not in DEPTH_ENCODINGS:
        raise InvalidImageError(
            f"depth encoding {message.encoding!r} is not supported; use one of {', '.join(DEPTH_ENCODINGS)}"
        )
    return depth_to_metres(decode_image(message), message.encoding)


def camera_model(info) -> CameraModel:
    """Intrinsics of a rectified image from its sensor_msgs/CameraInfo. Raises InvalidImageError.

    P is the camera matrix of the rectified image, K that of the raw one. They differ where there was something to
    rectify; drivers of cameras without distortion often fill K alone. K[0] = 0 says that there is no calibration.
    """
    has_projection = info.k[0] != 0 and info.p[0] > 0 and info.p[5] > 0
    matrix = np.asarray(info.p).reshape(3, 4)[:, :3] if has_projection else info.k
    return CameraModel.from_matrix(matrix, info.width, info.height)


def _decompress_depth(message) -> np.ndarray:
    encoding = message.format.split(";")[0].strip()
    if encoding not in ("16UC1", "32FC1") or "rvl" in message.format.lower():
        raise InvalidImageError(
            f"compressed depth format {message.format!r} is not supported; use '16UC1; compressedDepth png' or "
            "'32FC1; compressedDepth png'"
        )
    header = _COMPRESSED_DEPTH_HEADER
    if len(message.data) <= header.size:
        raise InvalidImageError(
            f"compressed depth of {len(message.data)} bytes is shorter than its header of {header.size}"
        )
    _, scale, offset = header.unpack_from(message.data)
    levels = decompress(memoryview(message.data)[header.size :], cv2.IMREAD_UNCHANGED, message.format)
    if levels.dtype != np.uint16 or levels.ndim != 2:
        raise InvalidImageError(
            f"compressed depth holds a {levels.dtype} PNG of shape {levels.shape}; it must be 16 bit with one channel"
        )
    if encoding == "16UC1":
        return depth_to_metres(levels, encoding)
    # 32FC1 is quantised as inverse depth; level 0 is invalid.
    with np.errstate(divide="ignore", invalid="ignore"):
        metres = np.float32(scale) / (levels.astype(np.float32) - np.float32(offset))
    return depth_to_metres(np.where(levels == 0, np.float32(0), metres).astype(np.float32), encoding)


def to_data(pixels: np.ndarray) -> array:
    """The bytes of an array as `array('B')`, which a message's `data` takes in one piece (ros2/rclpy#763)."""
    data = array("B")
    if pixels.size:
        data.frombytes(memoryview(np.ascontiguousarray(pixels)).cast("B"))
    return data
