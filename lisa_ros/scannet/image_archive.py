"""The images of an annotation, one PNG for each frame: in ScanNet's zip, or in a folder it was unpacked to."""

import re
import zipfile
import zlib
from pathlib import Path, PurePosixPath

import cv2
import numpy as np

from lisa_ros.errors import InvalidImageError, RecordingError
from lisa_ros.git_lfs import explain_pointer
from lisa_ros.images import decompress

_LARGEST_PNG = 64 << 20


class ImageArchive:
    """PNGs named `<frame>.png` in whatever folder of a zip, or below a folder. Raises RecordingError."""

    def __init__(self, path: Path, dtype: type):
        self.path, self._dtype = path, np.dtype(dtype)
        self._zip: zipfile.ZipFile | None = None
        try:
            if not path.is_dir():
                self._zip = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile) as error:
            raise RecordingError(explain_pointer(path) or f"{path} is not a whole zip file: {error}") from error
        names = [str(file.relative_to(path)) for file in path.rglob("*")] if self._zip is None else self._zip.namelist()
        self._names: dict[int, str] = {}
        for name in names:
            frame = _frame(name)
            if frame is not None and self._names.setdefault(frame, name) != name:
                self.close()
                raise RecordingError(
                    f"{path} has two images of frame {frame}, {self._names[frame]} and {name}; keep one"
                )

    def __len__(self) -> int:
        return len(self._names)

    def close(self):
        """Closes the archive."""
        if self._zip is not None:
            self._zip.close()

    def data(self, frame: int) -> bytes:
        """Bytes of a frame's PNG. Raises RecordingError for a frame that is missing or cannot be unpacked."""
        name = self._names.get(frame)
        if name is None:
            raise RecordingError(f"{self.path} has no image of frame {frame}; it has {len(self)} frames")
        try:
            size = (self.path / name).stat().st_size if self._zip is None else self._zip.getinfo(name).file_size
            if size > _LARGEST_PNG:
                raise RecordingError(f"{self.path}: {name} is larger than {_LARGEST_PNG >> 20} MiB")
            return (self.path / name).read_bytes() if self._zip is None else self._zip.read(name)
        except RuntimeError as error:  # encrypted, or packed as Windows packs large archives (Deflate64)
            raise RecordingError(f"{self.path}: {name} cannot be unpacked: {error}; pack it with `zip`") from error
        except (OSError, zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise RecordingError(f"{self.path}: {name} is damaged: {error}") from error

    def read(self, frame: int) -> np.ndarray:
        """(H, W) of the archive's dtype. Raises RecordingError for a frame that is missing or damaged."""
        data, name = self.data(frame), self._names[frame]
        try:
            pixels = decompress(data, cv2.IMREAD_UNCHANGED, name)
        except InvalidImageError as error:
            pointer = explain_pointer(self.path / name) if self._zip is None else ""
            raise RecordingError(pointer or f"{self.path}: {name} is damaged: {error}") from error
        if pixels.ndim != 2 or pixels.dtype != self._dtype:
            raise RecordingError(
                f"{self.path}: {name} is {pixels.dtype} {pixels.shape}; it must have one channel of {self._dtype}"
            )
        return pixels


def _frame(name: str) -> int | None:
    """Frame of a file's name; None for other files. Some programs of Windows write backslashes between folders."""
    found = re.fullmatch(r"([0-9]+)\.png", PurePosixPath(name.replace("\\", "/")).name, re.IGNORECASE)
    return int(found[1]) if found else None
