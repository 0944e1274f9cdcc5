"""Checks of the ROS middleware: whether rclpy can start (importing it may end the process), and its shared memory."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

from lisa_ros.errors import ConfigurationError
from lisa_ros.resources import share_directory

_VARIABLE = "RMW_IMPLEMENTATION"
_INDEX = "share/ament_index/resource_index/rmw_typesupport"
SHARED_MEMORY = Path("/dev/shm")


def installed_middlewares() -> list[str]:
    """Names of the RMW implementations that the ament index lists; [] where there is no index."""
    prefixes = os.environ.get("AMENT_PREFIX_PATH") or sys.prefix  # ROS from wheels: they lie in the environment
    places = (Path(prefix) / _INDEX for prefix in prefixes.split(os.pathsep) if prefix)
    names = {file.name for place in places if place.is_dir() for file in place.iterdir()}
    return sorted(names - {"rmw_implementation"})  # which loads one of the others


def check_middleware() -> None:
    """Raises ConfigurationError where RMW_IMPLEMENTATION names one that is not installed.

    ROS' own message is a line without a remedy, or the end of the process inside `import rclpy`.
    """
    wanted, there = os.environ.get(_VARIABLE, ""), installed_middlewares()
    if wanted and there and wanted not in there:
        raise ConfigurationError(
            f"the variable {_VARIABLE} is {wanted}, which is not installed; there is {', '.join(there)}. Unset it, or "
            f"install the package ros-{os.environ.get('ROS_DISTRO', '<distribution>')}-{wanted.replace('_', '-')}"
        )


def require_ros() -> None:
    """Raises ConfigurationError where rclpy is not installed, or would not start."""
    if find_spec("rclpy") is None:
        raise ConfigurationError("rclpy is not installed; `make setup` installs it, or source a ROS 2 installation")
    check_middleware()


def segment_size() -> int:
    """Bytes of shared memory that each process takes with config/fastdds.xml."""
    profile = ElementTree.parse(share_directory() / "config" / "fastdds.xml")
    return int(profile.findtext(".//{*}segment_size"))


def shared_memory_note(processes: int) -> str | None:
    """A note for the user if shared memory is too small for so many processes; None if it is large enough."""
    try:
        free = os.statvfs(SHARED_MEMORY)
    except OSError:  # no such folder: not Linux
        return None
    megabytes = free.f_bavail * free.f_frsize // 2**20
    wanted = processes * segment_size() // 2**20 + 1
    if megabytes >= wanted:
        return None
    return (
        f"{SHARED_MEMORY} has {megabytes} MB free, and Fast DDS wants {wanted} for its shared memory: lines with "
        "'RTPS_TRANSPORT_SHM Error' are harmless, but messages go by UDP, where large images may get lost (NO_IMAGE, "
        "NO_DEPTH). "
        "Remedy in a container: docker run --shm-size=512m (or --ipc=host)"
    )
