"""All messages of one result, of an answer or of a query without one. No rclpy; used in the inference thread too."""

from dataclasses import dataclass

import numpy as np
from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Header, String
from visualization_msgs.msg import MarkerArray

from lisa_ros.msg import SegmentationResult
from lisa_ros.nodes.common.messages import cloud_message, empty_cloud, image_message
from lisa_ros.nodes.common.stamps import time_message
from lisa_ros.nodes.perception.clouds.cloud_job import CloudResult
from lisa_ros.nodes.perception.frames.frame_buffer import CameraFrame
from lisa_ros.nodes.perception.inference.inference_session import InferenceOutput
from lisa_ros.nodes.perception.queries.query import Query
from lisa_ros.nodes.perception.results.markers import marker_array
from lisa_ros.nodes.perception.results.optional_messages import detection_array, planning_scene
from lisa_ros.nodes.perception.results.target_messages import (
    box_message,
    stage_messages,
    support_message,
    target_message,
)
from lisa_ros.visualization import draw_overlay


@dataclass(frozen=True)
class ResultMessages:
    """The messages of one result; all but `result` and `markers` are None without an answer.

    Attributes:
        result: Status, answer, targets and times.
        answer: The answer's text.
        mask: Union of all masks.
        points: Cloud of the targets; empty where nothing was located.
        scene_points: The rest of the scene; None where it was not asked for or nothing was located, because an empty
            cloud would mean "no obstacles".
        box: The largest target's; None where nothing was located.
        markers: Without an answer those that remove the ones before; None where the query has no frame.
        overlay: None where it has no subscriber.
        detections: None where vision_msgs is not installed.
        planning_scene: All objects of the answer; None where the parameter is not set or nothing was located.
    """

    result: SegmentationResult
    answer: String | None = None
    mask: Image | None = None
    points: PointCloud2 | None = None
    scene_points: PointCloud2 | None = None
    box: PoseStamped | None = None
    markers: MarkerArray | None = None
    overlay: Image | None = None
    detections: object = None
    planning_scene: object = None


def build_unanswered(query: Query, status: int, message: str, provenance: str = "") -> ResultMessages:
    """A result without an answer."""
    markers = None if query.frame is None else marker_array(image_header(query.frame), [])
    return ResultMessages(_result(query, status, message, provenance), markers=markers)


def build_answered(query: Query, answer: InferenceOutput, provenance: str) -> ResultMessages:
    """All messages of an answer.

    Coordinates are in the frame of `answer.clouds`; the stamp is the image's throughout.
    """
    header = image_header(query.frame)
    clouds = answer.clouds
    located = Header(stamp=header.stamp, frame_id=clouds.frame_id) if clouds else header
    reports = clouds.reports if clouds else (None,) * len(answer.result.targets)
    message = _result(query, answer.status, answer.message, provenance)
    message.answer_stamp = time_message(answer.answer_stamp)
    message.answer, message.truncated = answer.result.answer, answer.result.truncated
    message.targets = [
        target_message(header, *pair, located, query.region)
        for pair in zip(answer.result.targets, reports, strict=True)
    ]
    support = _support(located, clouds)
    if support is not None:
        message.has_support, message.support = True, support
    message.stages = stage_messages(answer.seconds)
    union = answer.result.union_mask
    if union is not None:
        message.mask = image_message(header, union)
    return ResultMessages(
        result=message,
        answer=String(data=message.answer),
        mask=image_message(header, np.zeros(answer.image.shape[:2], bool)) if union is None else message.mask,
        points=_points(located, clouds),
        scene_points=_scene_points(located, clouds),
        box=_largest_box(located, reports),
        markers=marker_array(located, message.targets, support),
        overlay=image_message(header, draw_overlay(answer.image, answer.result)) if query.wants_overlay else None,
        detections=detection_array(located, message.targets),
        planning_scene=planning_scene(located, query.request.query_id, message.targets, support)
        if clouds and query.request.parameters.planning_scene
        else None,
    )


def _points(header: Header, clouds: CloudResult | None) -> PointCloud2:
    if clouds is None:
        return empty_cloud(header)
    return cloud_message(header, clouds.targets.points, clouds.targets.colors, clouds.targets.point_targets)


def _scene_points(header: Header, clouds: CloudResult | None) -> PointCloud2 | None:
    if clouds is None or clouds.targets.scene_points is None:
        return None
    return cloud_message(header, clouds.targets.scene_points, clouds.targets.scene_colors)


def _support(header: Header, clouds: CloudResult | None) -> PoseStamped | None:
    if clouds is None or clouds.targets.support is None:
        return None
    centers = [report.box_center for report in clouds.reports if report is not None]
    return support_message(header, clouds.targets.support, np.mean(centers, axis=0))


def image_header(frame: CameraFrame) -> Header:
    """The image's own header; its arrival time where it has no stamp."""
    return Header(stamp=time_message(frame.stamp), frame_id=frame.image.header.frame_id)


def _result(query: Query, status: int, message: str, provenance: str) -> SegmentationResult:
    result = SegmentationResult(
        query_id=query.request.query_id,
        query=query.request.text,
        conversation_id=query.request.conversation_id,
        status=status,
        message=message,
        received=time_message(query.request.received),
        model=provenance,
    )
    if query.frame is not None:
        result.header = image_header(query.frame)
    return result


def _largest_box(header: Header, reports) -> PoseStamped | None:
    found = [report for report in reports if report is not None]
    return box_message(header, max(found, key=lambda report: report.point_count)) if found else None
