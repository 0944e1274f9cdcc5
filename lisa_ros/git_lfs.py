"""What Git LFS leaves in the place of a file that was not downloaded: a few lines of text."""

from pathlib import Path

_POINTER = b"version https://git-lfs.github.com/spec/"


def explain_pointer(path: Path | str) -> str:
    """A sentence that names the file and the remedy where the file is such a pointer; else ""."""
    try:
        with open(path, "rb") as file:
            found = file.read(len(_POINTER)) == _POINTER
    except OSError:
        return ""  # whoever reads it says what is wrong
    if not found:
        return ""
    return (
        f"{path} is a pointer of Git LFS, the file itself was not downloaded: install git-lfs and run `git lfs pull` "
        f"in {Path(path).parent}, or download the file"
    )
