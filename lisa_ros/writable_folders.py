"""Places for what other libraries write, where theirs cannot be written: no home, a read-only checkout."""

import os
import stat
import tempfile
from pathlib import Path


def can_write(folder: Path) -> bool:
    """Whether files can be made in a folder, or in the nearest one above it where it is missing."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def private_folder(name: str) -> Path:
    """A folder in the system's temporary one that belongs to this user alone: what lies in it may be executed."""
    folder = Path(tempfile.gettempdir()) / f"lisa_ros-{os.getuid()}" / name
    try:
        for path in (folder.parent, folder):
            path.mkdir(mode=0o700, exist_ok=True)
            facts = path.lstat()
            if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid() or facts.st_mode & 0o077:
                raise PermissionError(f"{path} belongs to somebody else")
    except OSError:
        return Path(tempfile.mkdtemp(prefix=f"lisa_ros-{name}-"))
    return folder


def ensure_ros_log() -> str | None:
    """Lets ROS write its log to a place that works, in this process and its children; it would not start without.

    Returns:
        What a person should know, None where ROS' own place can be written.
    """
    home = os.environ.get("HOME")
    folder = os.environ.get("ROS_LOG_DIR") or (
        os.path.join(os.environ.get("ROS_HOME") or os.path.join(home, ".ros"), "log") if home else None
    )
    if folder and can_write(Path(folder).expanduser()):
        return None
    os.environ["ROS_LOG_DIR"] = str(private_folder("log"))
    wrong = f"ROS cannot write its log to {folder}" if folder else "there is no home for ROS' log"
    return f"{wrong}; it goes to {os.environ['ROS_LOG_DIR']}. Set ROS_LOG_DIR for another place"


def ensure_numba_cache(package: Path) -> None:
    """Lets numba keep what it compiles; it refuses to, where neither the package nor a home can be written.

    package: the folder of the code that is compiled. To be called before numba is imported.
    """
    home = os.environ.get("HOME")
    places = [package / "__pycache__", *([Path(home) / ".cache" / "numba"] if home else [])]
    if "XDG_CACHE_HOME" in os.environ:
        places.append(Path(os.environ["XDG_CACHE_HOME"]) / "numba")
    if "NUMBA_CACHE_DIR" not in os.environ and not any(map(can_write, places)):
        os.environ["NUMBA_CACHE_DIR"] = str(private_folder("numba"))
