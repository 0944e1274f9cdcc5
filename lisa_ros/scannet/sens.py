"""Reads ScanNet's `.sens` files (version 4) frame by frame: memory holds one frame, never the file.

Little-endian and packed: a header, the RGB-D frames, the IMU frames. Layout: ScanNet's SensReader/c++/src/sensorData.h.
"""

import os
import struct
import zlib
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lisa_ros.errors import InvalidImageError, RecordingError
from lisa_ros.geometry.poses import is_rotation
from lisa_ros.git_lfs import explain_pointer
from lisa_ros.images import decompress_rgb

VERSION = 4
COLOR_COMPRESSIONS = {0: "raw", 1: "png", 2: "jpeg"}
DEPTH_COMPRESSIONS = {0: "raw", 1: "zlib", 2: "occi"}
# A pose further than this from a rigid transform was not tracked; ScanNet's own drift from orthonormal is below 1e-3.
FARTHEST = 1000.0  # m from the origin; a scan is of a room
_LONGEST_NAME = 4096
_LARGEST_SIDE = 1 << 15
_DEPTH_SHIFTS = (1.0, 1e6)  # beyond this, 16 bits do not cover a room, or cannot resolve it
FRAME_HEADER = struct.Struct("<16f4Q")  # pose, colour stamp, depth stamp, colour bytes, depth bytes
IMU_FRAME = struct.Struct("<15dQ")


def _identity() -> np.ndarray:
    return np.eye(4, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class SensHeader:
    """What a `.sens` file says before its first frame.

    Intrinsics and extrinsics: (4, 4) float32, row-major; pixel centres at integers. Sizes: (width, height).
    color_compression: "jpeg", "png" or "raw". depth_compression: "zlib", "raw" or "occi" (cannot be decoded here).
    depth_shift: metres = raw / depth_shift. frame_count: RGB-D frames.
    """

    color_intrinsic: np.ndarray
    depth_intrinsic: np.ndarray
    color_size: tuple[int, int]
    depth_size: tuple[int, int]
    color_extrinsic: np.ndarray = field(default_factory=_identity)
    depth_extrinsic: np.ndarray = field(default_factory=_identity)
    sensor: str = "StructureSensor (calibrated)"
    color_compression: str = "jpeg"
    depth_compression: str = "zlib"
    depth_shift: float = 1000.0
    frame_count: int = 0

    @property
    def is_aligned(self) -> bool:
        """Whether both cameras stand in one place: calibrated files have both extrinsics at identity."""
        return all(np.allclose(e, np.eye(4), atol=1e-6) for e in (self.color_extrinsic, self.depth_extrinsic))


def pose_problem(pose: np.ndarray) -> str:
    """Why a (4, 4) pose cannot be used: "lost" (not finite), "implausible" (not rigid, far away), or ""."""
    if not np.isfinite(pose).all():
        return "lost"
    near = np.abs(pose[:3, 3]).max() < FARTHEST
    return "" if is_rotation(pose[:3, :3]) and near and np.allclose(pose[3], (0, 0, 0, 1), atol=1e-4) else "implausible"


@dataclass(frozen=True, eq=False)
class SensFrame:
    """One RGB-D frame as it lies in the file.

    pose: (4, 4) float32, world <- camera, m; all -inf where tracking was lost. Stamps: device microseconds, often zero.
    color_data and depth_data: the compressed bytes.
    """

    index: int
    pose: np.ndarray
    color_stamp: int
    depth_stamp: int
    color_data: bytes
    depth_data: bytes
    header: SensHeader

    @property
    def pose_problem(self) -> str:
        """As `pose_problem` of its pose."""
        return pose_problem(self.pose)

    @property
    def rigid_pose(self) -> np.ndarray | None:
        """(4, 4) float64 world <- camera with the nearest true rotation; None where the pose cannot be used."""
        if self.pose_problem:
            return None
        pose = self.pose.astype(np.float64)
        u, _, vt = np.linalg.svd(pose[:3, :3])
        pose[:3, :3] = u @ vt
        pose[3] = 0, 0, 0, 1
        return pose

    def color(self) -> np.ndarray:
        """(H, W, 3) uint8 RGB. Raises InvalidImageError."""
        width, height = self.header.color_size
        if self.header.color_compression == "raw":
            return _reshaped(self.color_data, np.uint8, (height, width, 3), f"colour of frame {self.index}")
        image = decompress_rgb(self.color_data, f"colour of frame {self.index}")
        if image.shape != (height, width, 3):
            found = f"{image.shape[1]}x{image.shape[0]}"
            raise InvalidImageError(f"colour of frame {self.index} is {found}, but the header says {width}x{height}")
        return image

    def depth(self) -> np.ndarray:
        """(h, w) uint16 in units of 1 / depth_shift m, 0 = invalid. Raises InvalidImageError."""
        width, height = self.header.depth_size
        name = f"depth of frame {self.index}"
        if self.header.depth_compression == "raw":
            return _reshaped(self.depth_data, "<u2", (height, width), name)
        if self.header.depth_compression != "zlib":
            raise InvalidImageError(f"{name}: compression {self.header.depth_compression!r} cannot be decoded here")
        try:  # one byte more than allowed shows what would not stop
            data = zlib.decompressobj().decompress(self.depth_data, 2 * width * height + 1)
        except zlib.error as error:
            raise InvalidImageError(f"{name} cannot be inflated: {error}") from error
        return _reshaped(data, "<u2", (height, width), name)


@dataclass(frozen=True, eq=False)
class ImuFrame:
    """One IMU sample: (3,) float64 each, in the units of the device. stamp: microseconds."""

    rotation_rate: np.ndarray
    acceleration: np.ndarray
    magnetic_field: np.ndarray
    attitude: np.ndarray
    gravity: np.ndarray
    stamp: int


class SensReader:
    """An open `.sens` file: `header`, then `frames()`. A context manager.

    Raises RecordingError for a file that is missing, truncated, of another version, or with a header that cannot be.
    """

    def __init__(self, path: Path | str):
        self.path = Path(path)
        try:
            self._file = self.path.open("rb")
        except OSError as error:
            raise RecordingError(f"cannot read {self.path}: {error.strerror}") from error
        try:
            self._size = os.fstat(self._file.fileno()).st_size
            self.header = self._read_header()
            self._first_frame = self._file.tell()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> "SensReader":
        return self

    def __exit__(self, *_):
        self.close()

    def __len__(self) -> int:
        return self.header.frame_count

    def __iter__(self) -> Iterator[SensFrame]:
        return self.frames()

    def close(self):
        """Closes the file."""
        self._file.close()

    def frames(self, wanted: Container[int] | None = None) -> Iterator[SensFrame]:
        """The frames in order; with `wanted`, those with these indices alone, the others' images are not read.

        One iteration at a time: a second one moves the file under the first. Raises RecordingError where the file ends
        too early.
        """
        for index, pose, stamps, (color_bytes, depth_bytes) in self._frame_headers():
            if wanted is not None and index not in wanted:
                self._skip(color_bytes, f"colour of frame {index}")
                self._skip(depth_bytes, f"depth of frame {index}")
                continue
            color = self._take(color_bytes, f"colour of frame {index}")
            depth = self._take(depth_bytes, f"depth of frame {index}")
            yield SensFrame(index, pose, *stamps, color, depth, self.header)

    def poses(self) -> Iterator[np.ndarray]:
        """The pose of every frame, as of `SensFrame`; no image is read. Raises RecordingError as `frames` does."""
        for index, pose, _, (color_bytes, depth_bytes) in self._frame_headers():
            self._skip(color_bytes, f"colour of frame {index}")
            self._skip(depth_bytes, f"depth of frame {index}")
            yield pose

    def _frame_headers(self) -> Iterator[tuple[int, np.ndarray, tuple[int, int], tuple[int, int]]]:
        """Index, pose, stamps and sizes of colour and depth; whoever iterates moves the file past the images."""
        self._file.seek(self._first_frame)
        for index in range(self.header.frame_count):
            values = FRAME_HEADER.unpack(self._take(FRAME_HEADER.size, f"frame {index}"))
            yield index, np.array(values[:16], np.float32).reshape(4, 4), values[16:18], values[18:]

    def imu(self) -> Iterator[ImuFrame]:
        """The IMU frames in order. Raises RecordingError."""
        for index in range(self._seek_imu()):
            *values, stamp = IMU_FRAME.unpack(self._take(IMU_FRAME.size, f"IMU frame {index}"))
            yield ImuFrame(*np.array(values).reshape(5, 3), stamp)

    def check(self) -> int:
        """Walks through the file without reading images and returns the number of IMU frames.

        Raises RecordingError that says where a truncated file ends.
        """
        count = self._seek_imu()
        self._skip(count * IMU_FRAME.size, f"the {count} IMU frames")
        return count

    def _seek_imu(self) -> int:
        for _ in self.frames(wanted=()):
            pass
        return struct.unpack("<Q", self._take(8, "the number of IMU frames"))[0]

    def _read_header(self) -> SensHeader:
        version, name_length = struct.unpack("<IQ", self._take(12, "the header"))
        if version != VERSION:
            raise RecordingError(
                explain_pointer(self.path)
                or f"{self.path} has version {version}; a .sens file of ScanNet has version {VERSION}"
            )
        if name_length > _LONGEST_NAME:
            raise RecordingError(f"{self.path}: a sensor name of {name_length} bytes is more than {_LONGEST_NAME}")
        sensor = self._take(name_length, "the sensor's name").decode("utf-8", errors="replace")
        matrices = np.frombuffer(self._take(256, "the calibration"), "<f4").reshape(4, 4, 4)
        values = struct.unpack("<2i4IfQ", self._take(36, "the header"))
        color, depth, color_w, color_h, depth_w, depth_h, shift, count = values
        header = SensHeader(
            color_intrinsic=matrices[0], color_extrinsic=matrices[1],
            depth_intrinsic=matrices[2], depth_extrinsic=matrices[3],
            color_size=(color_w, color_h), depth_size=(depth_w, depth_h), sensor=sensor,
            color_compression=self._compression("colour", color, COLOR_COMPRESSIONS),
            depth_compression=self._compression("depth", depth, DEPTH_COMPRESSIONS),
            depth_shift=shift, frame_count=count,
        )  # fmt: skip
        self._check_header(header)
        return header

    def _compression(self, stream: str, code: int, known: dict[int, str]) -> str:
        if code not in known:
            names = ", ".join(f"{number} ({name})" for number, name in known.items())
            raise RecordingError(f"{self.path}: {stream} compression {code} is unknown; there are {names}")
        return known[code]

    def _check_header(self, header: SensHeader):
        for stream, (width, height) in (("colour", header.color_size), ("depth", header.depth_size)):
            if not (0 < width <= _LARGEST_SIDE and 0 < height <= _LARGEST_SIDE):
                raise RecordingError(f"{self.path}: {stream} size {width}x{height} must be within 1..{_LARGEST_SIDE}")
        for stream, matrix in (("colour", header.color_intrinsic), ("depth", header.depth_intrinsic)):
            if not (np.isfinite(matrix).all() and matrix[0, 0] > 0 and matrix[1, 1] > 0):
                k = matrix[:3, :3].tolist()
                raise RecordingError(f"{self.path}: the {stream} intrinsics {k} are not a camera's")
        least, most = _DEPTH_SHIFTS
        if not least <= header.depth_shift <= most:
            shift = f"{header.depth_shift:g}"
            raise RecordingError(
                f"{self.path}: depth shift {shift} must be within {least:g}..{most:g} units a metre (ScanNet's is 1000)"
            )
        room = (self._size - self._file.tell()) // FRAME_HEADER.size
        if header.frame_count > room:
            raise RecordingError(
                f"{self.path} is truncated: {header.frame_count} frames do not fit into its {self._size} bytes"
            )

    def _take(self, size: int, what: str) -> bytes:
        self._require(size, what)
        return self._file.read(size)

    def _skip(self, size: int, what: str):
        self._require(size, what)
        self._file.seek(size, os.SEEK_CUR)

    def _require(self, size: int, what: str):
        # Checked before reading: a damaged length must not ask for gigabytes of memory.
        at = self._file.tell()
        if size > self._size - at:
            raise RecordingError(
                f"{self.path} is truncated or damaged at {what}: byte {at} should be followed by {size} more, "
                f"but the file ends after {self._size - at}; fetch or export it again"
            )


def _reshaped(data: bytes, dtype, shape: tuple[int, ...], name: str) -> np.ndarray:
    expected = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if len(data) != expected:
        raise InvalidImageError(f"{name} has {len(data)} bytes (or more) where {expected} belong")
    pixels = np.frombuffer(data, dtype).reshape(shape)
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
