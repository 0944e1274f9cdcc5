"""Clouds and boxes of one answer from the bundle that the question was frozen with. No rclpy."""

from dataclasses import dataclass

import numpy as np

from lisa_ros.errors import InvalidImageError, NoDepthError
from lisa_ros.geometry import CameraModel, CloudOptions, CloudReport, TargetClouds
from lisa_ros.image_messages import camera_model, to_depth
from lisa_ros.nodes.queries import Query
from lisa_ros.nodes.settings import Settings
from lisa_ros.types import SegmentationResult

_OPTICAL_FRAMES = ("_optical", "_optical_frame")  # suffixes, of REP-103 and of most drivers


@dataclass(frozen=True)
class CloudJob:
    """What `target_clouds` needs for an answer. names: the targets' words, for messages. up: (3,), optical frame."""

    names: tuple[str, ...]
    masks: tuple[np.ndarray, ...]
    depth: np.ndarray
    image: np.ndarray
    camera: CameraModel
    options: CloudOptions
    pose: np.ndarray | None
    up: np.ndarray | None = None
    with_scene: bool = True


@dataclass(frozen=True)
class Clouds:
    """What is known in space of an answer's targets.

    targets: a report for each target. notes: why single targets have none. frame_id: frame of all coordinates.
    """

    targets: TargetClouds
    notes: tuple[str, ...] = ()
    frame_id: str = ""

    @property
    def reports(self) -> tuple[CloudReport | None, ...]:
        """One per target, None where the target has no cloud."""
        return self.targets.reports


def cloud_job(query: Query, image: np.ndarray, result: SegmentationResult) -> tuple[CloudJob, str]:
    """The job and the frame of its coordinates. Raises NoDepthError and NoTransformError with the reason."""
    camera, depth = _camera(query.bundle), _depth(query)
    if query.find_pose is not None:
        query.pose, query.find_pose = query.find_pose(), None
    frame_id = query.bundle.image.header.frame_id if query.pose is None else query.settings.target_frame
    names = tuple(target.phrase or "target" for target in result.targets)
    masks = tuple(target.mask for target in result.targets)
    up, options = up_direction(query.settings, query.pose), query.settings.cloud
    return CloudJob(names, masks, depth, image, camera, options, query.pose, up, query.wants_scene), frame_id


def up_direction(settings: Settings, pose: np.ndarray | None) -> np.ndarray | None:
    """(3,) unit vector against gravity in the optical frame; None where it is not known.

    pose: (4, 4) target_frame <- optical frame. The parameter `up` goes before the z axis of target_frame, which is up
    by REP-103 in all frames of a robot but the optical ones.
    """
    if settings.up:
        return np.asarray(settings.up, np.float64) / np.linalg.norm(settings.up)
    if pose is None or settings.target_frame.endswith(_OPTICAL_FRAMES):
        return None
    return pose[2, :3].copy()


def compute_clouds(job: CloudJob) -> Clouds:
    """Raises NoDepthError where no target can have a cloud, with the reasons."""
    from lisa_ros.geometry import target_clouds  # numba, which the node itself does without

    try:
        targets = target_clouds(
            job.masks, job.depth, job.image, job.camera, job.options, job.pose, job.up, job.with_scene
        )
    except InvalidImageError as error:  # the sizes of image, depth and camera_info do not belong together
        raise NoDepthError(str(error)) from error
    # A target without a mask is one that the answer says is not there.
    notes = [
        f"{name}: {reason}"
        for name, mask, reason in zip(job.names, job.masks, targets.reasons, strict=True)
        if reason and mask.any()
    ]
    if all(report is None for report in targets.reports):
        raise NoDepthError("; ".join(notes))
    return Clouds(targets, tuple(notes))


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
