"""Reading the files that data sets are made of."""

import hashlib
import json
import pickle
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from lisa_ros.errors import DatasetError
from lisa_ros.git_lfs import explain_pointer
from lisa_ros.images import read_image

Row = TypeVar("Row")
_DRAWING = 1  # raised where the same files begin to give other pictures, masks or questions
PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")  # endings, in small letters
REMEDY = "`python -m training.data check` lists what belongs there and where to get it"


def read_json(path: Path, encoding: str = "utf-8-sig") -> object:
    """The content of a JSON file, with or without a byte order mark. Raises DatasetError naming the file."""
    try:
        return json.loads(Path(path).read_text(encoding=encoding))
    except FileNotFoundError:
        raise DatasetError(f"there is no file {path}; {REMEDY}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise DatasetError(explain_pointer(path) or f"{path} cannot be read as JSON: {error}") from error


def is_whole(text: str) -> bool:
    """Whether a text has no half character (a lone surrogate), as of an emoji that was cut: no tokenizer takes it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def whole_text(text: str) -> str:
    """The text. Raises DatasetError unless it is whole."""
    if not is_whole(text):
        raise DatasetError(f"the text {text[:80]!r} has half a character (a lone surrogate)")
    return text


class _PlainUnpickler(pickle.Unpickler):
    """Unpickles numbers, texts, lists and dictionaries; whatever would have to be imported is an error."""

    def find_class(self, module: str, name: str) -> object:
        raise pickle.UnpicklingError(f"it holds {module}.{name}; numbers, texts, lists and dictionaries are all it may")


def read_plain_pickle(path: Path) -> object:
    """Reads a pickle of plain data, also one of Python 2, without executing code in it.

    Texts of Python 2 that are not UTF-8 are read as Windows-1252, a superset of the letters of Latin-1.

    Args:
        path: The file.

    Returns:
        Numbers, texts, lists and dictionaries.

    Raises:
        DatasetError: If the file cannot be read or holds anything else.
    """
    try:
        with Path(path).open("rb") as file:
            try:
                return _PlainUnpickler(file, encoding="utf-8").load()
            except UnicodeDecodeError:
                file.seek(0)
                return _decoded(_PlainUnpickler(file, encoding="bytes").load())
    except FileNotFoundError:
        raise DatasetError(f"there is no file {path}; {REMEDY}") from None
    except Exception as error:  # a damaged pickle raises nearly anything, IndexError and MemoryError among it
        raise DatasetError(explain_pointer(path) or f"{path} cannot be read: {error!r}") from error


def _decoded(value: object) -> object:
    """Plain data with texts in the place of bytes."""
    if isinstance(value, bytes):
        for encoding in ("utf-8", "cp1252"):
            with suppress(UnicodeDecodeError):
                return value.decode(encoding)
        return value.decode("latin-1")
    if isinstance(value, dict):
        return {_decoded(key): _decoded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_decoded(each) for each in value]
    return tuple(map(_decoded, value)) if isinstance(value, tuple) else value


def content_digest(files: Iterable[Path], *content: object) -> str:
    """A digest that shows whether a sample has changed.

    Args:
        files: Files of the sample.
        *content: What was taken from annotation files: numbers, texts, lists, dictionaries.

    Returns:
        Part of a SHA-256, in hexadecimal digits.

    Raises:
        DatasetError: If a file cannot be read.
    """
    digest = hashlib.sha256(f"{_DRAWING}".encode())
    for path in files:
        try:
            digest.update(hashlib.sha256(Path(path).read_bytes()).digest())
        except OSError as error:
            raise DatasetError(f"cannot read {path}: {error.strerror or error}") from error
    digest.update(json.dumps(content, sort_keys=True, default=repr).encode())
    return digest.hexdigest()[:32]


@contextmanager
def format_of(path: Path, what: str) -> Iterator[None]:
    """Turns errors about the content of a file into a DatasetError that names the file.

    Args:
        path: The file.
        what: The part of it that is read, for the message.

    Yields:
        Nothing.

    Raises:
        DatasetError: If the block raises one, or an error of a missing key or a wrong type.
    """
    try:
        yield
    except DatasetError as error:
        if str(path) in str(error):  # reading it has failed as a whole
            raise
        raise DatasetError(f"{path}, {what}: {error}") from error
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise DatasetError(f"{path}, {what}: not as it should be ({error!r})") from error


@dataclass(frozen=True)
class Picture:
    """A picture in an annotation file of COCO's form.

    Attributes:
        id: Its id in the file.
        file_name: Relative to the folder of the pictures.
        size: (height, width) px that the annotations are made for.
    """

    id: int
    file_name: str
    size: tuple[int, int]

    def read(self, folder: Path) -> np.ndarray:
        """(H, W, 3) uint8 RGB as it is stored, whatever its EXIF orientation says: COCO's annotations belong to that.

        Raises DatasetError if it is of another size, InvalidImageError.
        """
        return read_annotated(folder / self.file_name, self.size)


def read_annotated(path: Path, size: tuple[int, int]) -> np.ndarray:
    """Reads a picture in the orientation that its annotation is made for.

    The stored pixels are used; if only the picture rotated by its EXIF orientation has the annotation's size, that one
    is used, since the annotator saw it so.

    Args:
        path: The picture.
        size: (height, width) px of the annotation.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        DatasetError: If neither has this size.
        InvalidImageError: If the picture cannot be read.
    """
    image = read_image(path, as_stored=True)
    if image.shape[:2] == size:
        return image
    turned = read_image(path)
    if turned.shape[:2] == size:
        return turned
    height, width = size
    raise DatasetError(f"{path} has {image.shape[1]}x{image.shape[0]} pixels, its annotations {width}x{height}")


def pictures(rows: list[dict], wanted: Container[int]) -> list[Picture]:
    """The pictures of an annotation file with a wanted id. Raises DatasetError, KeyError or TypeError."""
    found = [Picture(row["id"], row["file_name"], (row["height"], row["width"])) for row in rows if row["id"] in wanted]
    for one in found:
        if not isinstance(one.file_name, str):
            raise DatasetError(f"the file name of image {one.id} is {one.file_name!r}")
    return found


def by_id(rows: Iterable[tuple[int, Row]]) -> dict[int, Row]:
    """Rows of an annotation file by their id. Raises DatasetError where two that differ have the same one."""
    found: dict[int, Row] = {}
    for number, row in rows:
        if found.setdefault(number, row) != row:
            raise DatasetError(f"the id {number} stands for two different rows; give each its own")
    return found
