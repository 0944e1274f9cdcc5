"""Language-instructed segmentation for robots. Importing this package loads neither torch nor rclpy."""

from pkgutil import extend_path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lisa_ros.inference.engine import Lisa

__all__ = ["Lisa"]

# lisa_ros.msg, .srv and .action are generated and may lie in another directory (install space, site-packages)
# than this source tree.
__path__ = extend_path(__path__, __name__)


def __getattr__(name: str) -> object:
    if name == "Lisa":
        from lisa_ros.inference.engine import Lisa

        return Lisa
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
