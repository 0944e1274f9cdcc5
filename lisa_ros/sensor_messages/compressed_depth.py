"""sensor_msgs/CompressedImage of depth: PNG and RVL of the transport compressedDepth, PNG of the transport compressed.

RVL: A. D. Wilson, "Fast Lossless Depth Image Compression", ISS 2017. Numbers are cut into groups of three bits, lowest
first, each in a nibble whose highest bit says that another one follows; eight nibbles make a little-endian word,
highest first. Runs of a count of zeros, a count of other pixels and those pixels' differences alternate.
"""

import struct

import cv2
import numpy as np

from lisa_ros.errors import InvalidImageError
from lisa_ros.geometry.depth import depth_to_metres
from lisa_ros.images import MAX_PIXELS, decompress

# compressed_depth_image_transport's ConfigHeader: int32 format, float32 quantisation a, float32 quantisation b
_HEADER = struct.Struct("<iff")
_RVL_SIZE = struct.Struct("<II")  # columns, rows
_ENCODINGS = ("16UC1", "mono16", "32FC1")
_CODECS = ("png", "rvl")
_DEPTH, _PLAIN = "compressedDepth", "compressed"  # transports; the latter has no header
_MAX_GROUPS = 11  # of a number: 33 bits, more than any encoder writes


def decode_compressed_depth(message) -> np.ndarray:
    """(h, w) float32 m, 0 where invalid. Raises InvalidImageError."""
    encoding, transport, codec = _parse(message.format)
    if transport == _PLAIN:
        return depth_to_metres(_levels(decompress(message.data, cv2.IMREAD_UNCHANGED, message.format)), encoding)
    if len(message.data) <= _HEADER.size:
        raise InvalidImageError(
            f"compressed depth of {len(message.data)} bytes is shorter than its header of {_HEADER.size}"
        )
    _, scale, offset = _HEADER.unpack_from(message.data)
    body = memoryview(message.data)[_HEADER.size :]
    levels = _levels(decode_rvl(body) if codec == "rvl" else decompress(body, cv2.IMREAD_UNCHANGED, message.format))
    if encoding != "32FC1":
        return depth_to_metres(levels, encoding)
    # 32FC1 is quantised as inverse depth; level 0 is invalid.
    with np.errstate(divide="ignore", invalid="ignore"):
        metres = np.float32(scale) / (levels.astype(np.float32) - np.float32(offset))
    return depth_to_metres(np.where(levels == 0, np.float32(0), metres).astype(np.float32), encoding)


def _levels(pixels: np.ndarray) -> np.ndarray:
    if pixels.dtype != np.uint16 or pixels.ndim != 2:
        raise InvalidImageError(
            f"compressed depth holds a {pixels.dtype} image of shape {pixels.shape}; it must be 16 bit with one channel"
        )
    return pixels


def _parse(text: str) -> tuple[str, str, str]:
    """(encoding, transport, codec). Humble and older name no codec of compressedDepth and mean PNG."""
    head, _, tail = (part.strip() for part in text.partition(";"))
    encoding = next((name for name in _ENCODINGS if name.lower() == head.lower()), head)
    words = tail.lower().split()
    transport, codec = _DEPTH, words[1] if len(words) > 1 else "png"
    if words[:2] == ["png", "compressed"] and encoding != "32FC1":
        transport, codec = _PLAIN, "png"
    elif words and words[0] != _DEPTH.lower():
        codec = ""
    if encoding not in _ENCODINGS or codec not in _CODECS:
        raise InvalidImageError(
            f"compressed depth format {text!r} is not supported; use 'ENCODING; compressedDepth CODEC' with one of "
            f"{', '.join(_ENCODINGS)} and one of {', '.join(_CODECS)}, or '16UC1; png compressed'"
        )
    return encoding, transport, codec


def decode_rvl(data) -> np.ndarray:
    """(h, w) uint16 of the bytes of RVL behind their size. Raises InvalidImageError where they are not whole."""
    if len(data) < _RVL_SIZE.size:
        raise InvalidImageError(f"RVL depth of {len(data)} bytes is shorter than its size")
    width, height = _RVL_SIZE.unpack_from(data)
    if not 0 < width * height <= MAX_PIXELS:
        raise InvalidImageError(f"RVL depth claims {width}x{height} pixels; 1 to {MAX_PIXELS} are possible")
    numbers = _rvl_numbers(np.frombuffer(data, np.uint8)[_RVL_SIZE.size :])
    heads, starts, lengths = [], [], []  # of the runs: place among the numbers, first pixel above 0, how many
    at, filled, count = 0, 0, width * height
    while filled < count:
        if at + 1 >= len(numbers):
            raise _cut_off(width, height, filled)
        zeros, others = int(numbers[at]), int(numbers[at + 1])
        start = filled + zeros
        filled = start + others
        if filled > count or at + 2 + others > len(numbers) or not zeros + others:
            raise _cut_off(width, height, start)
        heads.append(at)
        starts.append(start)
        lengths.append(others)
        at += 2 + others
    is_difference = np.ones(at, bool)
    is_difference[heads] = is_difference[np.add(heads, 1)] = False
    zigzag = numbers[:at][is_difference]
    places = np.arange(len(zigzag)) + np.repeat(np.subtract(starts, np.cumsum([0, *lengths[:-1]])), lengths)
    depth = np.zeros(count, np.uint16)
    depth[places] = np.cumsum((zigzag >> 1) ^ -(zigzag & 1)).astype(np.uint16)
    return depth.reshape(height, width)


def _rvl_numbers(data: np.ndarray) -> np.ndarray:
    """(N,) int64, all numbers of the stream; zeros that fill its last word come along."""
    words = data[: len(data) // 4 * 4].view("<u4")
    nibbles = ((words[:, None] >> np.arange(28, -1, -4, dtype=np.uint32)) & 0xF).ravel()
    ends = np.flatnonzero(nibbles < 8)
    if not len(ends):
        return np.zeros(0, np.int64)
    nibbles = nibbles[: ends[-1] + 1]
    starts = np.concatenate([[0], ends[:-1] + 1])
    groups = ends - starts + 1
    if groups.max() > _MAX_GROUPS:
        raise InvalidImageError(f"RVL depth holds a number of {3 * groups.max()} bits; it is damaged")
    shifts = 3 * (np.arange(len(nibbles)) - np.repeat(starts, groups))
    return np.add.reduceat((nibbles & 7).astype(np.int64) << shifts, starts)


def _cut_off(width: int, height: int, filled: int) -> InvalidImageError:
    return InvalidImageError(f"RVL depth of {width}x{height} is not whole: it ends or breaks at pixel {filled}")
