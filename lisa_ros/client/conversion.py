"""Messages of the perception node to plain data. No rclpy."""

import math

import numpy as np
from geometry_msgs.msg import Pose
from sensor_msgs.msg import Image, PointCloud2, PointField, RegionOfInterest

from lisa_ros.client.results import (
    PerceptionResult,
    PerceptionTarget,
    PointCloud,
    QueryStatus,
    TargetLocation,
)
from lisa_ros.errors import InvalidImageError
from lisa_ros.geometry.poses import pose_matrix
from lisa_ros.geometry.report import TopGrasp
from lisa_ros.msg import SegmentationResult, SegmentationTarget
from lisa_ros.types import ABSENT, LOST, SEGMENTED, Candidate, MaskFeatures, Target

SECOND = 1_000_000_000
_KINDS = {SegmentationTarget.SEGMENTED: SEGMENTED, SegmentationTarget.ABSENT: ABSENT, SegmentationTarget.LOST: LOST}
_NUMBERS = {PointField.FLOAT32: "f4", PointField.UINT32: "u4"}


def nanoseconds(stamp) -> int:
    """Of a builtin_interfaces Time or Duration."""
    return stamp.sec * SECOND + stamp.nanosec


def read_result(message: SegmentationResult) -> PerceptionResult:
    """A result without its clouds, which have topics of their own.

    Raises:
        InvalidImageError: A mask does not fit its own size, or the image's.
        ValueError: The status is none that this version knows.
    """
    shape = message.mask.height, message.mask.width
    return PerceptionResult(
        query=message.query,
        answer=message.answer,
        targets=tuple(_target(target, shape) for target in message.targets),
        seconds={stage.stage: stage.seconds for stage in message.stages},
        truncated=message.truncated,
        status=QueryStatus(message.status),
        message=message.message,
        query_id=message.query_id,
        conversation_id=message.conversation_id,
        stamp=nanoseconds(message.header.stamp),
        frame_id=message.header.frame_id,
        received=nanoseconds(message.received),
        image_age=nanoseconds(message.image_age) / SECOND,
        model=message.model,
        answer_stamp=nanoseconds(message.answer_stamp),
        support_pose=_matrix(message.support.pose) if message.has_support else None,
        support_frame_id=message.support.header.frame_id if message.has_support else "",
    )


def read_cloud(message: PointCloud2) -> PointCloud:
    """Points of the topics `points` (with the index of their target) and `scene_points`."""
    order = ">" if message.is_bigendian else "<"
    layout = np.dtype(
        {
            "names": [field.name for field in message.fields],
            "formats": [order + _NUMBERS[field.datatype] for field in message.fields],
            "offsets": [field.offset for field in message.fields],
            "itemsize": message.point_step,
        }
    )
    packed = np.frombuffer(message.data, layout)
    rgb = packed["rgb"].view(f"{order}u4")
    return PointCloud(
        message.header.frame_id,
        np.column_stack([packed[axis] for axis in "xyz"]).astype(np.float32, copy=False),
        np.column_stack([rgb >> shift & 0xFF for shift in (16, 8, 0)]).astype(np.uint8),
        packed["target"].astype(np.uint32) if "target" in layout.names else None,
    )


def _target(message: SegmentationTarget, shape: tuple[int, int]) -> PerceptionTarget:
    return PerceptionTarget(
        phrase=message.phrase,
        kind=_KINDS[message.kind],
        id=message.id,
        mask=_mask(message.phrase, message.roi, message.mask, shape),
        mean_probability=message.mean_probability,
        probability=message.probability,
        quality=message.quality,
        features=_features(message),
        correction=message.correction,
        alternative=_alternative(message, shape),
        candidate=Candidate(message.candidate_index, message.candidate_score) if message.has_candidate else None,
        components=message.components,
        touches_border=message.touches_border,
        location=_location(message) if message.has_box else None,
    )


def _features(message: SegmentationTarget) -> MaskFeatures | None:
    if math.isnan(message.stability):
        return None
    return MaskFeatures(message.largest_share, message.compactness, message.stability)


def _alternative(message: SegmentationTarget, shape: tuple[int, int]) -> Target | None:
    if not message.alternative_mask.data:
        return None
    mask = _mask(message.correction, message.alternative_roi, message.alternative_mask, shape)
    return Target(message.correction, SEGMENTED, mask)


def _mask(phrase: str, roi: RegionOfInterest, image: Image, shape: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(shape, bool)
    if not (image.height or image.width):
        return mask
    part = mask[roi.y_offset : roi.y_offset + roi.height, roi.x_offset : roi.x_offset + roi.width]
    size = image.height, image.width
    if part.shape != size or image.step < image.width or len(image.data) != image.height * image.step:
        raise InvalidImageError(
            f"the mask of {phrase!r} has {len(image.data)} bytes for {image.width}x{image.height} pixels (step "
            f"{image.step}) in a region of {roi.width}x{roi.height} of an image of {shape[1]}x{shape[0]}; node and "
            "client are of different versions"
        )
    part[:] = np.frombuffer(image.data, np.uint8).reshape(image.height, image.step)[:, : image.width] > 0
    return mask


def _location(message: SegmentationTarget) -> TargetLocation:
    return TargetLocation(
        frame_id=message.box.header.frame_id,
        pose=_matrix(message.box.pose),
        extents=_vector(message.extents),
        centroid=_vector(message.centroid),
        point_count=message.point_count,
        depth_coverage=message.depth_coverage,
        has_support=message.has_support,
        completed=message.completed,
        visible_share=message.visible_share,
        center_stddev=_vector(message.center_stddev),
        extents_stddev=_vector(message.extents_stddev),
        height=message.height,
        grasp=_grasp(message) if message.has_grasp else None,
        grasp_warnings=tuple(message.grasp_warnings),
    )


def _grasp(message: SegmentationTarget) -> TopGrasp:
    pose = _matrix(message.grasp)
    return TopGrasp(pose[:3, 3], pose[:3, :3], message.grasp_width, _vector(message.top_surface.position))


def _matrix(pose: Pose) -> np.ndarray:
    position, turn = pose.position, pose.orientation
    return pose_matrix((position.x, position.y, position.z, turn.x, turn.y, turn.z, turn.w))


def _vector(message) -> np.ndarray:
    return np.array([message.x, message.y, message.z])
