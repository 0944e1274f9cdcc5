"""Clouds and boxes of one answer from the frame that its query is bound to. No rclpy."""

from dataclasses import dataclass, replace

import numpy as np

from lisa_ros.errors import InvalidImageError, NoDepthError
from lisa_ros.geometry import CameraModel, CloudOptions, CloudReport, TargetClouds
from lisa_ros.geometry.distortion import Distortion, rectify
from lisa_ros.nodes.perception.clouds.depth_registration import image_calibration, image_depth
from lisa_ros.nodes.perception.parameters import PerceptionParameters
from lisa_ros.nodes.perception.queries.query import Query
from lisa_ros.types import SegmentationResult

_OPTICAL_FRAMES = ("_optical", "_optical_frame")  # suffixes, of REP-103 and of most drivers


@dataclass(frozen=True)
class CloudJob:
    """What the cloud process needs for one result.

    Attributes:
        names: Phrases of the targets, for messages.
        masks: (H, W) bool of each target.
        depth: (h, w) float32 m, 0 where invalid.
        image: (H, W, 3) uint8 RGB.
        camera: Of the image.
        options: Parameters `cloud.*`.
        pose: (4, 4) frame of the clouds <- optical frame; None: the optical frame.
        up: (3,) unit vector against gravity in the optical frame; None where it is not known.
        with_scene: Whether the scene cloud is wanted.
        depth_camera: Depth camera that is not the image's, from which depth is registered, else None.
        depth_pose: (4, 4) optical frame <- the depth camera's, else None.
        distortion: Of an image that is not rectified, else None.
    """

    names: tuple[str, ...]
    masks: tuple[np.ndarray, ...]
    depth: np.ndarray
    image: np.ndarray
    camera: CameraModel
    options: CloudOptions
    pose: np.ndarray | None
    up: np.ndarray | None = None
    with_scene: bool = True
    depth_camera: CameraModel | None = None
    depth_pose: np.ndarray | None = None
    distortion: Distortion | None = None


@dataclass(frozen=True)
class CloudResult:
    """Clouds and boxes of the targets of one result.

    Attributes:
        targets: Clouds, and a report for each target.
        notes: Why single targets have none.
        frame_id: Frame of all coordinates.
    """

    targets: TargetClouds
    notes: tuple[str, ...] = ()
    frame_id: str = ""

    @property
    def reports(self) -> tuple[CloudReport | None, ...]:
        """One per target, None where the target has no cloud."""
        return self.targets.reports


def cloud_job(query: Query, image: np.ndarray, result: SegmentationResult) -> tuple[CloudJob, str, tuple[str, ...]]:
    """The job, the frame of its coordinates, and what is doubtful about them.

    Raises NoDepthError and NoTransformError with the reason.
    """
    calibrated, remarks = image_calibration(query)
    camera, depth = calibrated.camera, image_depth(query, calibrated.camera)
    parameters, pose = query.request.parameters, query.poses.camera()
    frame_id = query.frame.image.header.frame_id if pose is None else parameters.target_frame
    names = tuple(target.phrase or "target" for target in result.targets)
    masks = tuple(target.mask for target in result.targets)
    job = CloudJob(
        names=names,
        masks=masks,
        depth=depth.metres,
        image=image,
        camera=camera,
        options=parameters.cloud,
        pose=pose,
        up=up_direction(parameters, pose),
        with_scene=query.wants_scene,
        depth_camera=depth.camera,
        depth_pose=depth.pose,
        distortion=calibrated.distortion,
    )
    return job, frame_id, remarks + depth.remarks


def up_direction(parameters: PerceptionParameters, pose: np.ndarray | None) -> np.ndarray | None:
    """(3,) unit vector against gravity in the optical frame; None where it is not known.

    pose: (4, 4) target_frame <- optical frame. The parameter `up` goes before the z axis of target_frame, which is up
    by REP-103 in all frames of a robot but the optical ones.
    """
    if parameters.up:
        return np.asarray(parameters.up, np.float64) / np.linalg.norm(parameters.up)
    if pose is None or parameters.target_frame.endswith(_OPTICAL_FRAMES):
        return None
    return pose[2, :3].copy()


def compute_clouds(job: CloudJob) -> CloudResult:
    """Raises NoDepthError where no target can have a cloud, with the reasons."""
    from lisa_ros.geometry import target_clouds  # numba, which the node itself does without

    try:
        job = _in_view(job)
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
    return CloudResult(targets, tuple(notes))


def _in_view(job: CloudJob) -> CloudJob:
    """The job with depth as the image's camera sees it, and with all pictures straight."""
    if job.depth_camera is None and job.distortion is None:
        return job
    depth = job.depth
    if job.depth_camera is not None:
        from lisa_ros.geometry.reprojection import reproject_depth, view_of  # numba, which the node itself does without

        depth = reproject_depth(depth, job.depth_camera, view_of(job.camera, job.depth_camera), job.depth_pose)
    elif job.distortion is not None:  # registered to the image as it is
        depth = rectify(depth, job.distortion.maps(job.camera.scaled(*depth.shape[::-1])))
    if job.distortion is None:
        return replace(job, depth=depth)
    maps = job.distortion.maps(job.camera)
    masks = tuple(rectify(mask, maps) for mask in job.masks)
    return replace(job, depth=depth, masks=masks, image=rectify(job.image, maps, is_smooth=True))
