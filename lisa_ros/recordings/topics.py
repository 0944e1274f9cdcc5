"""Names, frames and stamps of the bags that this package writes: the one place that says them.

`config/cameras/scannet.yaml` gives the same topics to the perception node.
"""

from dataclasses import dataclass

OPTICAL_FRAME = "camera_color_optical_frame"
WORLD_FRAME = "world"
MANIFEST = "manifest.json"

# stamp = START + index * STEP: 30 frames a second, and the index can be read off the stamp. Not zero, which ROS takes
# for "no stamp".
START = 1_000_000_000
STEP = 33_333_333


@dataclass(frozen=True)
class RgbdTopics:
    """Base topics of an RGB-D camera, without the transport's suffix; depth and tf may be "" where there are none."""

    image: str = "/camera/color/image_raw"
    depth: str = "/camera/depth/image_raw"
    camera_info: str = "/camera/color/camera_info"
    depth_info: str = "/camera/depth/camera_info"
    tf: str = "/tf"


def stamp_of_index(index: int) -> int:
    """Stamp (ns) of a frame."""
    return START + index * STEP


def index_of_stamp(stamp: int) -> int | None:
    """Frame of a stamp (ns); None for a stamp that does not follow the rule."""
    index, rest = divmod(stamp - START, STEP)
    return index if rest == 0 and index >= 0 else None
