"""Reading the files that data sets are made of."""

import json
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from lisa_ros.errors import DatasetError
from lisa_ros.images import read_image

REMEDY = "`python -m training.data check` tells what belongs there and where it comes from"


def read_json(path: Path, encoding: str = "utf-8") -> object:
    """The content of a JSON file. Raises DatasetError naming the file."""
    try:
        return json.loads(Path(path).read_text(encoding=encoding))
    except FileNotFoundError:
        raise DatasetError(f"there is no file {path}; {REMEDY}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise DatasetError(f"{path} cannot be read as JSON: {error}") from error


class _PlainUnpickler(pickle.Unpickler):
    """Unpickles numbers, texts, lists and dictionaries; whatever would have to be imported is an error."""

    def find_class(self, module: str, name: str) -> object:
        raise pickle.UnpicklingError(f"it holds {module}.{name}; numbers, texts, lists and dictionaries are all it may")


def read_plain_pickle(path: Path) -> object:
    """The content of a pickle of plain data, also one of Python 2; no code in it runs. Raises DatasetError."""
    try:
        with Path(path).open("rb") as file:
            return _PlainUnpickler(file, encoding="utf-8").load()
    except FileNotFoundError:
        raise DatasetError(f"there is no file {path}; {REMEDY}") from None
    except Exception as error:  # a damaged pickle raises nearly anything, IndexError and MemoryError among it
        raise DatasetError(f"{path} cannot be read: {error!r}") from error


@contextmanager
def format_of(path: Path, what: str) -> Iterator[None]:
    """What the block does not find in the content of a file becomes a DatasetError naming the file.

    what: the part of it that is read, for the message.
    """
    try:
        yield
    except DatasetError as error:
        raise DatasetError(f"{path}, {what}: {error}") from error
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise DatasetError(f"{path}, {what}: not as it should be ({error!r})") from error


def read_image_of(path: Path, height: int, width: int) -> np.ndarray:
    """(H, W, 3) uint8 RGB of an image file that must have a certain size. Raises DatasetError, InvalidImageError."""
    image = read_image(path)
    if image.shape[:2] != (height, width):
        raise DatasetError(f"{path} has {image.shape[1]}x{image.shape[0]} pixels, its annotations {width}x{height}")
    return image
