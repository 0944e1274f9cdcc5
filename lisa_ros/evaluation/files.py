"""Writing results where several processes may do so at a time."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lisa_ros.errors import ConfigurationError
from lisa_ros.resources import provenance


@contextmanager
def convert_write_errors(path: Path) -> Iterator[None]:
    """A full disk or a folder that may not be written to becomes a ConfigurationError naming the file."""
    try:
        yield
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror or error}") from error


def write_text_atomically(path: Path, text: str) -> None:
    """Writes a file that is never seen unfinished. Raises ConfigurationError.

    What UTF-8 cannot hold, half a character or a byte of a file name that is no text, is escaped as JSON does it.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with convert_write_errors(path):
        try:
            temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def write_json(path: Path, content: dict) -> None:
    """Writes JSON, never seen unfinished. Raises ConfigurationError."""
    write_text_atomically(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_summary(path: Path, summary: dict) -> None:
    """Writes a summary.json with the package's version, its commit and the date beside the figures.

    If the file has the same figures already, it keeps its date.
    Raises ConfigurationError.
    """
    marks = provenance()
    marked = marks | summary
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        before = {}
    if isinstance(before, dict):
        kept = {key: before[key] for key in marks if key in before}
        as_written = json.loads(json.dumps(marked))
        if as_written | kept == before:
            marked |= kept
    write_json(path, marked)


@contextmanager
def exclusive_lock(directory: Path) -> Iterator[None]:
    """Waits until no other process is in this block for the same directory."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
