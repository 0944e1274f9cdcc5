"""Plain results and arrays to ROS messages. Functions only, no rclpy."""

import numpy as np
from geometry_msgs.msg import Point, PoseStamped, Quaternion, Vector3
from sensor_msgs.msg import Image, PointCloud2, PointField, RegionOfInterest
from std_msgs.msg import Header

from lisa_ros.geometry import CloudReport, count_components, touches_border
from lisa_ros.geometry.poses import quaternion_of
from lisa_ros.image_messages import to_data
from lisa_ros.msg import SegmentationTarget, StageDuration
from lisa_ros.types import SEGMENTED, Target

_CLOUD_POINT = np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("rgb", "<u4")])


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


def cloud_message(header: Header, points: np.ndarray, colors: np.ndarray) -> PointCloud2:
    """points (N, 3) float32 m and colors (N, 3) uint8 RGB to a cloud of x, y, z and packed rgb, as PCL reads it."""
    packed = np.zeros(len(points), _CLOUD_POINT)
    packed["x"], packed["y"], packed["z"] = np.asarray(points, np.float32).T
    red, green, blue = np.asarray(colors, np.uint32).T
    packed["rgb"] = red << 16 | green << 8 | blue
    fields = [
        PointField(name=name, offset=4 * index, datatype=PointField.FLOAT32, count=1)
        for index, name in enumerate(("x", "y", "z", "rgb"))
    ]
    return PointCloud2(
        header=header,
        height=1,
        width=len(points),
        fields=fields,
        is_bigendian=False,
        point_step=_CLOUD_POINT.itemsize,
        row_step=_CLOUD_POINT.itemsize * len(points),
        data=to_data(packed),
        is_dense=True,
    )


def read_cloud(message: PointCloud2) -> tuple[np.ndarray, np.ndarray]:
    """Points (N, 3) float32 m and colors (N, 3) uint8 RGB of a cloud as `cloud_message` makes it."""
    packed = np.frombuffer(message.data, _CLOUD_POINT)
    points = np.column_stack([packed["x"], packed["y"], packed["z"]])
    colors = np.column_stack([packed["rgb"] >> shift & 0xFF for shift in (16, 8, 0)])
    return points, colors.astype(np.uint8)


def empty_cloud(header: Header) -> PointCloud2:
    """A cloud without points: "the newest answer has none"."""
    return cloud_message(header, np.empty((0, 3), np.float32), np.empty((0, 3), np.uint8))


def target_message(
    header: Header, target: Target, report: CloudReport | None, box_header: Header
) -> SegmentationTarget:
    """header: the source image's. box_header: frame of the report's coordinates, stamp of the image."""
    message = SegmentationTarget(
        phrase=target.phrase,
        kind=SegmentationTarget.SEGMENTED if target.kind == SEGMENTED else SegmentationTarget.ABSENT,
        mask=Image(header=header, encoding="mono8"),
        area=int(target.mask.sum()),
        mean_probability=float(target.mean_probability),
    )
    message.box.header = box_header
    if message.area:
        rows, columns = np.flatnonzero(target.mask.any(axis=1)), np.flatnonzero(target.mask.any(axis=0))
        top, left = int(rows[0]), int(columns[0])
        bottom, right = int(rows[-1]) + 1, int(columns[-1]) + 1
        message.roi = RegionOfInterest(x_offset=left, y_offset=top, width=right - left, height=bottom - top)
        message.mask = image_message(header, target.mask[top:bottom, left:right])
        message.components = count_components(target.mask)
        message.touches_border = touches_border(target.mask)
    if report is not None:
        message.has_box = True
        message.depth_coverage = float(report.depth_coverage)
        message.point_count = int(report.point_count)
        message.centroid = point(report.centroid)
        message.box = box_message(box_header, report)
        message.extents = Vector3(**_xyz(report.extents))
    return message


def box_message(header: Header, report: CloudReport) -> PoseStamped:
    """Centre and axes of the target's box."""
    message = PoseStamped(header=header)
    message.pose.position = point(report.box_center)
    message.pose.orientation = quaternion(report.box_rotation)
    return message


def stage_messages(seconds: dict[str, float]) -> list[StageDuration]:
    """Wall times, in the order in which the stages ran."""
    return [StageDuration(stage=stage, seconds=float(value)) for stage, value in seconds.items()]


def point(values) -> Point:
    """Three numbers to a Point."""
    return Point(**_xyz(values))


def quaternion(rotation: np.ndarray) -> Quaternion:
    """Right-handed rotation matrix (3, 3) to a unit quaternion with w >= 0."""
    x, y, z, w = quaternion_of(rotation)
    return Quaternion(x=x, y=y, z=z, w=w)


def _xyz(values) -> dict[str, float]:
    return {axis: float(value) for axis, value in zip("xyz", values, strict=True)}
