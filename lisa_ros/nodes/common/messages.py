"""Arrays to ROS messages and back. Functions only, no rclpy."""

import numpy as np
from geometry_msgs.msg import Point, Pose, Quaternion, Vector3
from sensor_msgs.msg import Image, PointCloud2, PointField
from std_msgs.msg import Header

from lisa_ros.geometry.poses import quaternion_of
from lisa_ros.sensor_messages.image_messages import to_data

_CLOUD_POINT = np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("rgb", "<u4")])
_TARGET_POINT = np.dtype([*_CLOUD_POINT.descr, ("target", "<u4")])


def image_message(header: Header, pixels: np.ndarray) -> Image:
    """(H, W) uint8 to mono8, (H, W, 3) uint8 RGB to rgb8, (H, W) bool to mono8 {0, 255}."""
    if pixels.dtype == bool:
        pixels = pixels.astype(np.uint8) * np.uint8(255)
    height, width = pixels.shape[:2]
    encoding = "mono8" if pixels.ndim == 2 else "rgb8"
    return Image(
        header=header,
        height=height,
        width=width,
        encoding=encoding,
        step=width * (pixels.size // max(1, height * width)),
        data=to_data(pixels),
    )


def cloud_message(
    header: Header, points: np.ndarray, colors: np.ndarray, targets: np.ndarray | None = None
) -> PointCloud2:
    """points (N, 3) float32 m and colors (N, 3) uint8 RGB to a cloud of x, y, z and packed rgb, as PCL reads it.

    targets: (N,) indices of the points' targets in the result, which become the field `target`, uint32.
    """
    packed = np.zeros(len(points), _CLOUD_POINT if targets is None else _TARGET_POINT)
    packed["x"], packed["y"], packed["z"] = np.asarray(points, np.float32).T
    red, green, blue = np.asarray(colors, np.uint32).T
    packed["rgb"] = red << 16 | green << 8 | blue
    if targets is not None:
        packed["target"] = targets
    fields = [
        PointField(
            name=name,
            offset=4 * index,
            datatype=PointField.UINT32 if name == "target" else PointField.FLOAT32,
            count=1,
        )
        for index, name in enumerate(packed.dtype.names)
    ]
    return PointCloud2(
        header=header,
        height=1,
        width=len(points),
        fields=fields,
        is_bigendian=False,
        point_step=packed.itemsize,
        row_step=packed.itemsize * len(points),
        data=to_data(packed),
        is_dense=True,
    )


def empty_cloud(header: Header) -> PointCloud2:
    """A cloud of targets without points: "the newest answer has none"."""
    return cloud_message(
        header, np.empty((0, 3), np.float32), np.empty((0, 3), np.uint8), targets=np.empty(0, np.uint32)
    )


def pose_message(position: np.ndarray, rotation: np.ndarray) -> Pose:
    """(3,) m and a right-handed rotation matrix (3, 3) to a Pose."""
    return Pose(position=point(position), orientation=quaternion(rotation))


def point(values) -> Point:
    """Three numbers to a Point."""
    return Point(**_xyz(values))


def quaternion(rotation: np.ndarray) -> Quaternion:
    """Right-handed rotation matrix (3, 3) to a unit quaternion with w >= 0."""
    x, y, z, w = quaternion_of(rotation)
    return Quaternion(x=x, y=y, z=z, w=w)


def vector(values) -> Vector3:
    """Three numbers to a Vector3."""
    return Vector3(**_xyz(values))


def _xyz(values) -> dict[str, float]:
    return {axis: float(value) for axis, value in zip("xyz", values, strict=True)}
