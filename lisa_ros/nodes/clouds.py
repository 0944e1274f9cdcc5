"""Clouds and boxes of one answer from the bundle that the question was frozen with. No rclpy."""

from dataclasses import dataclass

import numpy as np

from lisa_ros.errors import InvalidImageError, NoDepthError
from lisa_ros.geometry import CameraModel, CloudOptions, CloudReport, target_cloud
from lisa_ros.image_messages import camera_model, to_depth
from lisa_ros.nodes.queries import Query
from lisa_ros.types import SegmentationResult


@dataclass(frozen=True)
class CloudJob:
    """What `target_cloud` needs, for all targets of an answer. names: the targets' words, for messages."""

    names: tuple[str, ...]
    masks: tuple[np.ndarray, ...]
    depth: np.ndarray
    image: np.ndarray
    camera: CameraModel
    options: CloudOptions
    pose: np.ndarray | None


@dataclass(frozen=True)
class Clouds:
    """Reports of an answer.

    reports: one per target, None where the target has no cloud. union: of all targets together. notes: why single
    targets have none. frame_id: frame of all coordinates.
    """

    reports: tuple[CloudReport | None, ...]
    union: CloudReport
    notes: tuple[str, ...] = ()
    frame_id: str = ""


def cloud_job(query: Query, image: np.ndarray, result: SegmentationResult) -> tuple[CloudJob, str]:
    """The job and the frame of its coordinates. Raises NoDepthError and NoTransformError with the reason."""
    camera, depth = _camera(query.bundle), _depth(query)
    if query.find_pose is not None:
        query.pose, query.find_pose = query.find_pose(), None
    frame_id = query.bundle.image.header.frame_id if query.pose is None else query.settings.target_frame
    names = tuple(target.phrase or "target" for target in result.targets)
    masks = tuple(target.mask for target in result.targets)
    return CloudJob(names, masks, depth, image, camera, query.settings.cloud, query.pose), frame_id


def compute_clouds(job: CloudJob) -> Clouds:
    """Raises NoDepthError where no target can have a cloud, with the reasons."""
    reports, notes = [], []
    several = sum(mask.any() for mask in job.masks) > 1  # then the rest of the scene is wanted once, beside all of them
    for name, mask in zip(job.names, job.masks, strict=True):
        try:
            reports.append(_target_cloud(job, mask, with_scene=not several) if mask.any() else None)
        except NoDepthError as error:
            reports.append(None)
            notes.append(f"{name}: {error}")
        except InvalidImageError as error:  # the sizes of image, depth and camera_info do not belong together
            raise NoDepthError(str(error)) from error
    found = [report for report in reports if report is not None]
    if not found:
        raise NoDepthError("; ".join(notes))
    union = _target_cloud(job, np.logical_or.reduce(job.masks), with_scene=True) if several else found[0]
    return Clouds(tuple(reports), union, tuple(notes))


def _target_cloud(job: CloudJob, mask: np.ndarray, with_scene: bool) -> CloudReport:
    return target_cloud(mask, job.depth, job.image, job.camera, job.options, job.pose, with_scene)


def _depth(query: Query) -> np.ndarray:
    if query.bundle.depth_refusal:
        raise NoDepthError(f"the depth image was refused: {query.bundle.depth_refusal}")
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
        return camera_model(bundle.info)
    except InvalidImageError as error:
        raise NoDepthError(f"camera_info is not usable: {error}") from error
