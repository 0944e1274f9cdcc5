"""Files of a checkpoint's folder: paths as people write them, JSON, and what Git LFS leaves in a file's place."""

import json
from pathlib import Path

from lisa_ros.errors import CheckpointError
from lisa_ros.git_lfs import explain_pointer


def expand_home(source: str | Path) -> str:
    """`~` and `~name` at the beginning of a path replaced, as a shell does it: YAML and ROS parameters have no shell.

    Raises CheckpointError where that home directory is not known.
    """
    try:
        return str(Path(source).expanduser()) if str(source).startswith("~") else str(source)
    except RuntimeError as error:
        raise CheckpointError(f"{str(source)!r}: {str(error).rstrip(chr(46))}; give the whole path") from error


def refuse_pointer(path: Path) -> None:
    """Raises CheckpointError if the file is a pointer of Git LFS: a few lines of text in place of the content."""
    if pointer := explain_pointer(path):
        raise CheckpointError(pointer)


def read_json(path: Path, *, optional: bool = False) -> dict[str, object]:
    """The object in a JSON file; {} for an optional one that is not there.

    Raises CheckpointError naming the file that is missing, damaged or of another kind.
    """
    path = Path(path)
    refuse_pointer(path)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        if optional:
            return {}
        raise CheckpointError(
            f"{path} is missing: {path.parent} is not a checkpoint directory, or it is not complete"
        ) from error
    except ValueError as error:
        raise CheckpointError(f"{path} is not valid JSON: {error}; download or copy it again") from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path} must hold a JSON object, not {type(values).__name__}")
    return values
