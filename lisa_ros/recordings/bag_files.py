"""Whether a path can be a bag at all, said before a reader is confused by it."""

from pathlib import Path

from lisa_ros.errors import RecordingError
from lisa_ros.git_lfs import explain_pointer

_STORAGE = (".mcap", ".db3")
_ROS_1 = b"#ROSBAG V"
_CONVERT = "it is of ROS 1: `rosbags-convert --src {} --dst BAG` (installed with lisa_ros) makes a ROS 2 bag of it"


def check_path(path: Path) -> None:
    """Raises RecordingError, with the remedy, for a path that is not there, of ROS 1, or no bag of any kind."""
    if not path.exists():
        raise RecordingError(f"{path} does not exist; give a bag's folder, or its .mcap or .db3 file")
    try:
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            if pointer := explain_pointer(file):
                raise RecordingError(pointer)
        if path.is_dir():
            _check_folder(path)
        elif _is_of_ros_1(path):
            raise RecordingError(f"{path} is no ROS 2 bag: {_CONVERT.format(path)}")
        elif path.name == "metadata.yaml":
            raise RecordingError(f"{path} is not the bag itself; give its folder, {path.absolute().parent}")
        elif path.suffix not in _STORAGE:
            raise RecordingError(f"{path} is no bag; give a bag's folder, or its .mcap or .db3 file")
    except OSError as error:
        raise RecordingError(f"cannot read {path}: {error.strerror or error}") from error


def _check_folder(path: Path) -> None:
    if (path / "metadata.yaml").is_file():
        return
    files = sorted(entry for entry in path.iterdir() if entry.is_file())
    if any(file.name.endswith((*_STORAGE, ".db3.zstd", ".mcap.zstd")) for file in files):
        raise RecordingError(
            f"{path} is not a whole bag: its metadata.yaml is missing; `ros2 bag reindex {path}` makes it"
        )
    old = next((file for file in files if _is_of_ros_1(file)), None)
    if old is not None:
        raise RecordingError(f"{path} holds {old.name} and no ROS 2 bag: {_CONVERT.format(old)}")
    raise RecordingError(f"{path} holds no bag: neither metadata.yaml nor a .mcap or .db3 file")


def _is_of_ros_1(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_ROS_1)) == _ROS_1
