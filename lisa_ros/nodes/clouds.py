"""Clouds and boxes of one answer from the bundle that the question was frozen with. No rclpy."""

from dataclasses import dataclass

import numpy as np

from lisa_ros.errors import InvalidImageError, NoDepthError
from lisa_ros.geometry import CameraModel, CloudReport, target_cloud
from lisa_ros.nodes.images import to_depth
from lisa_ros.nodes.queries import Query
from lisa_ros.types import SegmentationResult


@dataclass(frozen=True)
class Clouds:
    """frame_id: frame of all coordinates.

    reports: one per target, None where the target has no cloud. union: of all targets together.

    notes: why single targets have none.
    """

    frame_id: str
    reports: tuple[CloudReport | None, ...]
    union: CloudReport
    notes: tuple[str, ...] = ()


def make_clouds(query: Query, image: np.ndarray, result: SegmentationResult) -> Clouds:
    """Raises NoDepthError or NoTransformError where the answer can have no cloud, with the reason."""
    camera, depth = _camera(query.bundle), _depth(query)
    if query.find_pose is not None:
        query.pose, query.find_pose = query.find_pose(), None
    pose = query.pose
    frame_id = query.bundle.image.header.frame_id if pose is None else query.settings.target_frame
    reports, notes = [], []
    for target in result.targets:
        try:
            reports.append(
                target_cloud(target.mask, depth, image, camera, query.settings.cloud, pose)
                if target.mask.any()
                else None
            )
        except NoDepthError as error:
            reports.append(None)
            notes.append(f"{target.phrase or 'target'}: {error}")
        except InvalidImageError as error:  # the sizes of image, depth and camera_info do not belong together
            raise NoDepthError(str(error)) from error
    found = [report for report in reports if report is not None]
    if not found:
        raise NoDepthError("; ".join(notes))
    union = (
        found[0]
        if sum(target.mask.any() for target in result.targets) == 1
        else _union(query, image, result, depth, camera, pose)
    )
    return Clouds(frame_id, tuple(reports), union, tuple(notes))


def _union(query: Query, image, result: SegmentationResult, depth, camera, pose) -> CloudReport:
    return target_cloud(result.union_mask, depth, image, camera, query.settings.cloud, pose)


def _depth(query: Query) -> np.ndarray:
    if query.bundle.depth is None:
        raise NoDepthError(
            f"no depth image is within {query.settings.sync_tolerance:g} s of this image (parameter sync_tolerance); "
            "is a depth camera running, is its topic remapped to `depth`, are both stamped by one clock?"
        )
    try:
        return to_depth(query.bundle.depth)
    except InvalidImageError as error:
        raise NoDepthError(str(error)) from error


def _camera(bundle) -> CameraModel:
    if bundle.info is None:
        raise NoDepthError(
            "no camera_info has arrived for this image's frame; remap the camera's topic to `camera_info`"
        )
    try:
        return CameraModel.from_matrix(bundle.info.k, bundle.info.width, bundle.info.height)
    except InvalidImageError as error:
        raise NoDepthError(f"camera_info is not usable: {error}") from error
