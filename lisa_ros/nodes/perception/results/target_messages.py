"""Targets of a result as messages. Functions only, no rclpy."""

import math
from collections.abc import Sequence

import numpy as np
from geometry_msgs.msg import Pose, PoseStamped
from sensor_msgs.msg import Image, RegionOfInterest
from std_msgs.msg import Header

from lisa_ros.geometry import CloudReport, SupportPlane, count_components, touches_border
from lisa_ros.msg import SegmentationTarget, StageDuration
from lisa_ros.nodes.common.messages import image_message, point, pose_message, vector
from lisa_ros.nodes.perception.queries.region import Region
from lisa_ros.types import ABSENT, LOST, SEGMENTED, Target

_KINDS = {
    SEGMENTED: SegmentationTarget.SEGMENTED,
    ABSENT: SegmentationTarget.ABSENT,
    LOST: SegmentationTarget.LOST,
}


def target_message(
    header: Header, target: Target, report: CloudReport | None, box_header: Header, region: Region | None = None
) -> SegmentationTarget:
    """header: the source image's. box_header: frame of the report's coordinates, stamp of the image.

    region: the part of the image that was asked about, None for all of it.
    """
    message = SegmentationTarget(
        phrase=target.phrase,
        kind=_KINDS[target.kind],
        id=target.id,
        mask=Image(header=header, encoding="mono8"),
        area=int(target.mask.sum()),
        mean_probability=float(target.mean_probability),
        probability=float(target.probability),
        correction=target.correction,
        height=float("nan"),
        candidate_score=float("nan"),
    )
    features = target.features
    message.quality = float(target.quality)
    message.largest_share = features.largest_share if features else float("nan")
    message.compactness = features.compactness if features else float("nan")
    message.stability = features.stability if features else float("nan")
    message.box.header = box_header
    if message.area:
        message.roi, message.mask = _cropped(header, target.mask)
        message.components = count_components(target.mask)
        message.touches_border = touches_border(target.mask if region is None else region.crop(target.mask))
    if target.candidate is not None:
        message.has_candidate = True
        message.candidate_index, message.candidate_score = target.candidate.index, float(target.candidate.score)
    if target.alternative is not None and target.alternative.mask.any():
        message.alternative_roi, message.alternative_mask = _cropped(header, target.alternative.mask)
    if report is not None:
        _set_location(message, report, box_header)
        if region is not None and message.touches_border and not report.touches_border:
            message.grasp_warnings.append("touches_border: the mask ends at the edge of the region asked about")
    return message


def _cropped(header: Header, mask: np.ndarray) -> tuple[RegionOfInterest, Image]:
    """The rectangle of a mask's pixels, and the mask in it."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, left = int(rows[0]), int(columns[0])
    bottom, right = int(rows[-1]) + 1, int(columns[-1]) + 1
    roi = RegionOfInterest(x_offset=left, y_offset=top, width=right - left, height=bottom - top)
    return roi, image_message(header, mask[top:bottom, left:right])


def _set_location(message: SegmentationTarget, report: CloudReport, header: Header):
    message.has_box = True
    message.depth_coverage = float(report.depth_coverage)
    message.point_count = int(report.point_count)
    message.centroid = point(report.centroid)
    message.box = box_message(header, report)
    message.extents = vector(report.extents)
    message.has_support = report.support is not None
    message.completed = bool(report.completed)
    message.visible_share = float(report.visible_share)
    message.center_stddev = vector(report.center_stddev)
    message.extents_stddev = vector(report.extents_stddev)
    message.height = float(report.height)
    message.grasp_warnings = list(report.warnings)
    if report.grasp is not None:
        message.has_grasp = True
        message.grasp = pose_message(report.grasp.position, report.grasp.rotation)
        message.grasp_width = float(report.grasp.width)
        message.top_surface = pose_message(report.grasp.top, report.grasp.rotation)


def support_message(header: Header, support: SupportPlane, near: np.ndarray) -> PoseStamped:
    """Pose of a plane: the point on it that is next to `near` (3,), z along its normal.

    x lies as near to the frame's x as it can, or to the frame's y where the normal lies along x.
    """
    normal = np.asarray(support.normal, np.float64)
    frame_axis = np.eye(3)[int(abs(normal[0]) > 0.9)]
    x = frame_axis - normal * (frame_axis @ normal)
    x /= np.linalg.norm(x)
    rotation = np.column_stack([x, np.cross(normal, x), normal])
    return PoseStamped(header=header, pose=pose_message(near - support.height(near) * normal, rotation))


def box_message(header: Header, report: CloudReport) -> PoseStamped:
    """Centre and axes of the target's box."""
    return PoseStamped(header=header, pose=pose_message(report.box_center, report.box_rotation))


def support_side(support: Pose, targets: Sequence[SegmentationTarget], margin: float) -> float:
    """Side in m of a square around a support's origin that reaches `margin` m beyond the boxes of all targets."""
    origin = support.position
    reach = [
        math.dist((box.x, box.y, box.z), (origin.x, origin.y, origin.z)) + math.hypot(size.x, size.y, size.z) / 2
        for box, size in ((target.box.pose.position, target.extents) for target in targets if target.has_box)
    ]
    return 2 * (max(reach, default=0.0) + margin)


def stage_messages(seconds: dict[str, float]) -> list[StageDuration]:
    """Wall times, in the order in which the stages ran."""
    return [StageDuration(stage=stage, seconds=float(value)) for stage, value in seconds.items()]
