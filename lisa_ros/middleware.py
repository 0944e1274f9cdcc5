"""Whether ROS can start in this environment: asked before rclpy is imported, which may end the process on its own."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

from lisa_ros.errors import ConfigurationError

_VARIABLE = "RMW_IMPLEMENTATION"
_INDEX = "share/ament_index/resource_index/rmw_typesupport"


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
