"""What the node says about one query: the messages of an answer, or of a query that got none.

No rclpy; built in the worker's thread.
"""

from dataclasses import dataclass

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Header
from visualization_msgs.msg import MarkerArray

from lisa_ros.msg import SegmentationResult
from lisa_ros.nodes.detections import detection_array
from lisa_ros.nodes.frame_buffer import SECOND, Bundle
from lisa_ros.nodes.markers import marker_array
from lisa_ros.nodes.messages import (
    box_message,
    cloud_message,
    empty_cloud,
    image_message,
    stage_messages,
    target_message,
)
from lisa_ros.nodes.queries import Query
from lisa_ros.nodes.session import Answer
from lisa_ros.visualization import draw_overlay


@dataclass(frozen=True)
class Reply:
    """The messages of one answer; all but `result` are None where the query got none.

    box: None where nothing was located.

    detections: None where vision_msgs is not installed. overlay: None where nobody looks.
    """

    result: SegmentationResult
    mask: Image | None = None
    points: PointCloud2 | None = None
    scene_points: PointCloud2 | None = None
    box: PoseStamped | None = None
    markers: MarkerArray | None = None
    overlay: Image | None = None
    detections: object = None


def time_message(nanoseconds: int) -> Time:
    """ns to a stamp."""
    return Time(sec=nanoseconds // SECOND, nanosec=nanoseconds % SECOND)


def refusal(query: Query, status: int, message: str, provenance: str = "") -> Reply:
    """A result without an answer."""
    return Reply(_result(query, status, message, provenance))


def reply(query: Query, answer: Answer, provenance: str) -> Reply:
    """All messages of an answer.

    Coordinates are in the frame of `answer.clouds`; the stamp is the image's throughout.
    """
    header = image_header(query.bundle)
    clouds = answer.clouds
    located = Header(stamp=header.stamp, frame_id=clouds.frame_id) if clouds else header
    reports = clouds.reports if clouds else (None,) * len(answer.result.targets)
    message = _result(query, answer.status, answer.message, provenance)
    message.answer, message.truncated = answer.result.answer, answer.result.truncated
    message.targets = [
        target_message(header, *pair, located) for pair in zip(answer.result.targets, reports, strict=True)
    ]
    message.stages = stage_messages(answer.seconds)
    union = answer.result.union_mask
    if union is not None:
        message.mask = image_message(header, union)
    return Reply(
        result=message,
        mask=image_message(header, np.zeros(answer.image.shape[:2], bool)) if union is None else message.mask,
        points=cloud_message(located, clouds.targets.points, clouds.targets.colors)
        if clouds
        else empty_cloud(located),
        scene_points=cloud_message(located, clouds.targets.scene_points, clouds.targets.scene_colors)
        if clouds
        else empty_cloud(located),
        box=_largest_box(located, reports),
        markers=marker_array(located, message.targets),
        overlay=image_message(header, draw_overlay(answer.image, answer.result)) if query.wants_overlay else None,
        detections=detection_array(located, message.targets),
    )


def image_header(bundle: Bundle) -> Header:
    """The image's own header; its arrival stands in where it came without a stamp."""
    return Header(stamp=time_message(bundle.stamp), frame_id=bundle.image.header.frame_id)


def _result(query: Query, status: int, message: str, provenance: str) -> SegmentationResult:
    result = SegmentationResult(
        query_id=query.query_id,
        query=query.text,
        conversation_id=query.conversation_id,
        status=status,
        message=message,
        received=time_message(query.received),
        model=provenance,
    )
    if query.bundle is not None:
        result.header = image_header(query.bundle)
    return result


def _largest_box(header: Header, reports) -> PoseStamped | None:
    found = [report for report in reports if report is not None]
    return box_message(header, max(found, key=lambda report: report.point_count)) if found else None
