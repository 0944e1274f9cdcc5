"""Names, frames and stamps of the bags that this package writes: the one place that says them.

`config/cameras/scannet.yaml` gives the same topics to the perception node.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields

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

    @classmethod
    def named(cls, words: Mapping[str, str | None]) -> "RgbdTopics":
        """The topics of words such as {"image_topic": "/cam/image_raw"}; what is empty or missing has its default.

        A transport's suffix may stand behind a base topic.
        """
        found = {field.name: words.get(f"{field.name}_topic") for field in fields(cls)}
        return cls(**{name: _base(topic) for name, topic in found.items() if topic})


# Words for whoever names them: command line and launch file.
TOPIC_WORDS = {
    "image_topic": "colour images, without the transport's suffix",
    "depth_topic": "depth images, without the transport's suffix",
    "camera_info_topic": "calibration of the colour images",
    "depth_info_topic": "calibration of the depth images",
    "tf_topic": "transforms",
}


def _base(topic: str) -> str:
    topic = topic if topic.startswith("/") else f"/{topic}"
    return topic.removesuffix("/compressed").removesuffix("/compressedDepth")


def stamp_of_index(index: int) -> int:
    """Stamp (ns) of a frame."""
    return START + index * STEP


def index_of_stamp(stamp: int) -> int | None:
    """Frame of a stamp (ns); None for a stamp that does not follow the rule."""
    index, rest = divmod(stamp - START, STEP)
    return index if rest == 0 and index >= 0 else None
