"""Writing results where several processes may do so at a time."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lisa_ros.errors import ConfigurationError


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """A full disk or a folder that may not be written to becomes a ConfigurationError naming the file."""
    try:
        yield
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror or error}") from error


def write_whole(path: Path, text: str) -> None:
    """Writes a file that is never seen unfinished. Raises ConfigurationError.

    What UTF-8 cannot hold, half a character or a byte of a file name that is no text, is escaped as JSON does it.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with writing(path):
        try:
            temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def write_json(path: Path, content: dict) -> None:
    """Writes JSON, never seen unfinished. Raises ConfigurationError."""
    write_whole(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


@contextmanager
def alone_in(directory: Path) -> Iterator[None]:
    """Waits until no other process is in this block for the same directory."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
