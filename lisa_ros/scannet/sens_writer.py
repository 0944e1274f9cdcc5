"""Writes `.sens` files that ScanNet's own readers take: recordings of the simulator, and files for tests."""

import os
import struct
import zlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from lisa_ros.errors import ConfigurationError, InvalidImageError
from lisa_ros.scannet.sens import (
    COLOR_COMPRESSIONS,
    DEPTH_COMPRESSIONS,
    FRAME_HEADER,
    IMU_FRAME,
    VERSION,
    ImuFrame,
    SensHeader,
)

_COUNT_FROM_END = 8  # the number of frames is the header's last field
LOST_POSE = np.full((4, 4), -np.inf, np.float32)  # what ScanNet writes where tracking was lost


class SensWriter:
    """Appends frames to a new `.sens` file; a context manager.

    The file appears under its name when all is written, never in part; an error inside the `with` leaves nothing.
    header.frame_count does not matter. Raises ConfigurationError where it cannot be written.
    """

    def __init__(self, path: Path | str, header: SensHeader):
        self.path, self.header = Path(path), header
        if header.depth_compression == "occi":
            raise ConfigurationError("depth compression 'occi' cannot be written; use 'zlib' or 'raw'")
        self._partial = self.path.with_name(self.path.name + ".partial")
        self._imu: list[bytes] = []
        self.count = 0
        try:
            self._file = self._partial.open("wb")
        except OSError as error:
            raise ConfigurationError(f"cannot write {self.path}: {error.strerror}") from error
        head = _packed_header(header)
        self._count_at = len(head) - _COUNT_FROM_END
        self._file.write(head)

    def __enter__(self) -> "SensWriter":
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.close()
        else:
            self._file.close()
            self._partial.unlink()

    def add(
        self,
        color: np.ndarray | bytes,
        depth: np.ndarray | bytes,
        pose: np.ndarray | None = None,
        stamp: int = 0,
        depth_stamp: int | None = None,
    ):
        """Appends one frame.

        color: (H, W, 3) uint8 RGB, or bytes already compressed. depth: (h, w) uint16 in 1 / depth_shift m, or bytes.
        pose: (4, 4) world <- camera, None where tracking is lost. stamp: device microseconds, of both if it is alone.
        Raises InvalidImageError for an array of another size than the header's.
        """
        color = color if isinstance(color, bytes) else self.encode_color(color)
        depth = depth if isinstance(depth, bytes) else self.encode_depth(depth)
        matrix = LOST_POSE if pose is None else np.asarray(pose, np.float32)
        depth_stamp = stamp if depth_stamp is None else depth_stamp
        self._file.write(FRAME_HEADER.pack(*matrix.ravel().tolist(), stamp, depth_stamp, len(color), len(depth)))
        self._file.write(color)
        self._file.write(depth)
        self.count += 1

    def add_imu(self, frames: Iterable[ImuFrame]):
        """Remembers IMU frames, which come after all RGB-D frames."""
        for frame in frames:
            values = (frame.rotation_rate, frame.acceleration, frame.magnetic_field, frame.attitude, frame.gravity)
            self._imu.append(IMU_FRAME.pack(*np.concatenate(values).tolist(), frame.stamp))

    def close(self):
        """Writes the IMU frames and the count, and gives the file its name."""
        self._file.write(struct.pack("<Q", len(self._imu)) + b"".join(self._imu))
        self._file.seek(self._count_at)
        self._file.write(struct.pack("<Q", self.count))
        self._file.close()
        os.replace(self._partial, self.path)

    def encode_color(self, image: np.ndarray) -> bytes:
        """(H, W, 3) uint8 RGB as the header compresses it; JPEG at OpenCV's quality of 95. Raises InvalidImageError."""
        width, height = self.header.color_size
        if image.shape != (height, width, 3) or image.dtype != np.uint8:
            raise InvalidImageError(f"colour must be ({height}, {width}, 3) uint8, not {image.shape} {image.dtype}")
        kind = self.header.color_compression
        if kind == "raw":
            return np.ascontiguousarray(image).tobytes()
        return cv2.imencode({"jpeg": ".jpg", "png": ".png"}[kind], image[..., ::-1])[1].tobytes()

    def encode_depth(self, depth: np.ndarray) -> bytes:
        """(h, w) uint16 as the header compresses it. Raises InvalidImageError."""
        width, height = self.header.depth_size
        if depth.shape != (height, width) or depth.dtype != np.uint16:
            raise InvalidImageError(f"depth must be ({height}, {width}) uint16, not {depth.shape} {depth.dtype}")
        data = np.ascontiguousarray(depth, "<u2").tobytes()
        return data if self.header.depth_compression == "raw" else zlib.compress(data, 6)


def _packed_header(header: SensHeader) -> bytes:
    header = replace(header, frame_count=0)
    name = header.sensor.encode()
    matrices = (header.color_intrinsic, header.color_extrinsic, header.depth_intrinsic, header.depth_extrinsic)
    return b"".join((
        struct.pack("<IQ", VERSION, len(name)), name,
        np.stack([np.asarray(matrix, "<f4") for matrix in matrices]).tobytes(),
        struct.pack("<2i4IfQ", _code(COLOR_COMPRESSIONS, header.color_compression),
                    _code(DEPTH_COMPRESSIONS, header.depth_compression), *header.color_size, *header.depth_size,
                    header.depth_shift, 0),
    ))  # fmt: skip


def _code(known: dict[int, str], name: str) -> int:
    for code, known_name in known.items():
        if known_name == name:
            return code
    raise ConfigurationError(f"compression {name!r} is unknown; use one of {', '.join(known.values())}")
