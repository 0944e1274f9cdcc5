"""Finds distributions that pip did not finish installing, and takes their metadata away: pip installs them again then.

    .venv/bin/python scripts/check_wheels.py

pip takes a distribution for installed once its metadata is there, but that comes before its scripts do: where it was
killed in between, it would never write them. The last thing that pip writes is the list of all files, with that of its
own mark in it. Run by setup.sh before pip; prints the names of what was unfinished.
"""

import shutil
import sysconfig
from importlib.metadata import Distribution
from pathlib import Path

MARK = "INSTALLER"


def unfinished(metadata: Path) -> bool:
    """Whether files are missing that pip writes. Compiled modules may be; Python makes them anew."""
    files = Distribution.at(metadata).files or []
    if not any(file.name == MARK for file in files):
        return True
    return any(file.suffix != ".pyc" and not Path(file.locate()).exists() for file in files)


def main() -> None:
    """Looks through site-packages of the interpreter that runs this."""
    folders = {Path(sysconfig.get_path(name)) for name in ("purelib", "platlib")}
    for metadata in sorted(path for folder in folders for path in folder.glob("*.dist-info")):
        if unfinished(metadata):
            shutil.rmtree(metadata)
            print(metadata.stem)


if __name__ == "__main__":
    main()
