"""The topics that a viewer is shown: what each is for, and its type. No rclpy."""

from dataclasses import dataclass

ANSWERS = {
    "result": "lisa_ros/msg/SegmentationResult",
    "points": "sensor_msgs/msg/PointCloud2",
    "scene_points": "sensor_msgs/msg/PointCloud2",
}
_IMAGE, _COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
_TRANSFORMS = "tf2_msgs/msg/TFMessage"


@dataclass(frozen=True)
class Stream:
    """A topic.

    Attributes:
        role: "image", "depth", "camera_info", "transforms", or a topic of the node's answers.
        topic: Its name, with a slash in front.
        type: Its type, "package/msg/Name".
        latched: Whether a late subscriber gets the last message.
    """

    role: str
    topic: str
    type: str
    latched: bool = False


def viewed_streams(
    namespace: str, image: str = "", depth: str = "", camera_info: str = "", *, with_scene: bool = True
) -> tuple[Stream, ...]:
    """The streams around a perception node.

    Args:
        namespace: Of the node.
        image: Base topic of the camera's images; "" for `image` in the namespace.
        depth: As `image`.
        camera_info: As `image`.
        with_scene: With `scene_points`, which the node computes only while somebody subscribes to them.
    """
    prefix = f"/{namespace.strip('/')}".rstrip("/")
    cameras = {"image": image, "depth": depth, "camera_info": camera_info}
    base = {role: f"/{topic.strip('/')}" if topic else f"{prefix}/{role}" for role, topic in cameras.items()}
    return (
        Stream("image", base["image"], _IMAGE),
        Stream("image", f"{base['image']}/compressed", _COMPRESSED),
        Stream("depth", base["depth"], _IMAGE),
        Stream("depth", f"{base['depth']}/compressedDepth", _COMPRESSED),
        Stream("camera_info", base["camera_info"], "sensor_msgs/msg/CameraInfo"),
        Stream("transforms", "/tf", _TRANSFORMS),
        Stream("transforms", "/tf_static", _TRANSFORMS, latched=True),
        *(
            Stream(role, f"{prefix}/{role}", kind, latched=True)
            for role, kind in ANSWERS.items()
            if with_scene or role != "scene_points"
        ),
    )
