"""ROS image messages to numpy and back. No rclpy; the messages are read by their fields.

On a ROS installation the distribution's cv_bridge decodes raw images; elsewhere an equal numpy decoder does (PyPI's
cv-bridge breaks with today's OpenCV and numpy). Sizes are checked before either sees the data, because a wrong step
makes cv_bridge read the wrong rows.
"""

import os
from array import array

import numpy as np

from lisa_ros.errors import InvalidImageError
from lisa_ros.geometry.depth import depth_to_metres
from lisa_ros.image_encodings import DEPTH_ENCODINGS, ENCODINGS, PLANAR, as_rgb, sizes_fit
from lisa_ros.images import compressed_size
from lisa_ros.sensor_messages.camera_info import camera_model
from lisa_ros.sensor_messages.compressed_depth import decode_compressed_depth
from lisa_ros.sensor_messages.compressed_images import decode_compressed

__all__ = [
    "ENCODINGS",
    "camera_model",
    "check_image",
    "decode_color",
    "decode_image",
    "image_size",
    "to_data",
    "to_depth",
    "to_rgb",
]

# What every distribution's cv_bridge gives as it is; newer encodings and planar ones it may not know.
_BRIDGED = ("rgb8", "bgr8", "rgba8", "bgra8", "mono8", "mono16", "16UC1", "32FC1")


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
    name, width, height = message.encoding, message.width, message.height
    if name not in ENCODINGS and name not in PLANAR:
        raise InvalidImageError(
            f"image encoding {name!r} is not supported; use one of {', '.join((*ENCODINGS, *PLANAR))}"
        )
    if width == 0 or height == 0:
        raise InvalidImageError(f"image of {width}x{height} pixels is empty")
    if name in PLANAR:
        _check_planes(message)
        return
    dtype, channels = ENCODINGS[name]
    row = width * channels * np.dtype(dtype).itemsize
    if message.step < row:
        raise InvalidImageError(
            f"image step {message.step} is shorter than a row of {width} {name} pixels, which takes {row} bytes"
        )
    if len(message.data) != message.step * height:
        raise InvalidImageError(
            f"image data has {len(message.data)} bytes, but step {message.step} x height {height} is "
            f"{message.step * height}"
        )


def _check_planes(message) -> None:
    """The step of planar images is that of the brightness; some drivers count the colour into it."""
    if not sizes_fit(message.encoding, message.width, message.height):
        raise InvalidImageError(
            f"{message.encoding} shares colour between pixels: {message.width}x{message.height} must be even numbers"
        )
    rows = message.height * PLANAR[message.encoding] // 2
    if _plane_step(message) < message.width:
        raise InvalidImageError(
            f"image data has {len(message.data)} bytes and step {message.step}, but {message.encoding} of "
            f"{message.width}x{message.height} takes {rows} rows of {message.width} bytes or more"
        )


def _plane_step(message) -> int:
    """Bytes of a row of brightness; 0 where step and length agree with none."""
    length, rows = len(message.data), message.height * PLANAR[message.encoding] // 2
    if length == message.step * rows:
        return message.step
    return message.width if length == message.width * rows == message.step * message.height else 0


def decode_image(message) -> np.ndarray:
    """sensor_msgs/Image to (H, W) or (H, W, C) in the encoding's own dtype and channel order, native endianness.

    Planar encodings give (rows of samples, W), as OpenCV takes them. Raises InvalidImageError.
    """
    check_image(message)
    if message.encoding in PLANAR:
        return _decode_planes(message)
    if _BRIDGE is None or message.encoding not in _BRIDGED or not _is_row_of_pixels(message):
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


def _decode_planes(message) -> np.ndarray:
    step, width, height = _plane_step(message), message.width, message.height
    samples = np.frombuffer(message.data, np.uint8)
    if message.encoding != "nv24":
        return np.ascontiguousarray(samples.reshape(-1, step)[:, :width])
    # Colour has twice the bytes of a row of brightness, and so has its step.
    brightness, colour = samples[: step * height].reshape(height, step), samples[step * height :].reshape(height, -1)
    return np.concatenate([brightness[:, :width], colour[:, : 2 * width].reshape(2 * height, width)])


def _decode_with_cv_bridge(bridge, message) -> np.ndarray:
    return np.asarray(bridge.imgmsg_to_cv2(message, desired_encoding="passthrough"))


def decode_color(message, bits: int = 0) -> tuple[np.ndarray, str]:
    """sensor_msgs/Image or CompressedImage (JPEG, PNG) to (H, W, 3) uint8 RGB, contiguous, and a remark.

    The remark is what a person should know about the picture: colour that is gone, a range that was guessed; "" for
    nothing. bits: how many of 16 the sensor fills; 0: read off the values. Raises InvalidImageError.
    """
    if hasattr(message, "format"):
        return decode_compressed(message, bits)
    return as_rgb(decode_image(message), message.encoding, bits)


def to_rgb(message, bits: int = 0) -> np.ndarray:
    """The picture of `decode_color` alone."""
    return decode_color(message, bits)[0]


def image_size(message) -> tuple[int, int]:
    """(width, height) of an Image or CompressedImage, without decoding its pixels. Raises InvalidImageError."""
    if hasattr(message, "format"):
        return compressed_size(message.data, message.format)
    return message.width, message.height


def to_depth(message) -> np.ndarray:
    """sensor_msgs/Image or CompressedImage (compressedDepth) to (h, w) float32 m, 0 where invalid.

    Raises InvalidImageError.
    """
    if hasattr(message, "format"):
        return decode_compressed_depth(message)
    if message.encoding not in DEPTH_ENCODINGS:
        raise InvalidImageError(
            f"depth encoding {message.encoding!r} is not supported; use one of {', '.join(DEPTH_ENCODINGS)}"
        )
    return depth_to_metres(decode_image(message), message.encoding)


def to_data(pixels: np.ndarray) -> array:
    """The bytes of an array as `array('B')`, which a message's `data` takes in one piece (ros2/rclpy#763)."""
    data = array("B")
    if pixels.size:
        data.frombytes(memoryview(np.ascontiguousarray(pixels)).cast("B"))
    return data
