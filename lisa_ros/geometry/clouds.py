"""Target and scene clouds for grasping, from masks, a registered depth image and a camera model."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lisa_ros.errors import InvalidImageError, NoDepthError
from lisa_ros.geometry.camera import CameraModel
from lisa_ros.geometry.cleaning import View, clean_target, sampling_step
from lisa_ros.geometry.masks import at_size, dilate
from lisa_ros.geometry.options import CloudOptions
from lisa_ros.geometry.poses import is_rotation
from lisa_ros.geometry.report import CloudReport, TargetClouds
from lisa_ros.geometry.standing import find_standing
from lisa_ros.geometry.targets import describe
from lisa_ros.geometry.voxels import one_per_voxel


def target_cloud(
    mask: np.ndarray,
    depth_m: np.ndarray,
    image_rgb: np.ndarray,
    camera: CameraModel,
    options: CloudOptions | None = None,
    pose: np.ndarray | None = None,
    with_scene: bool = True,
    up: np.ndarray | None = None,
) -> CloudReport:
    """Cloud and box of the masked object and, if `with_scene`, the cloud of the rest of the scene.

    mask: (H, W) bool. depth_m: (h, w) float m along z, registered to the image, possibly of another resolution; 0, NaN
    and Inf are invalid. image_rgb: (H, W, 3) uint8 RGB. camera: that of the image. pose: (4, 4) wanted frame <- optical
    frame. up: (3,) direction against gravity in the optical frame, of any length; None: not known. Raises
    InvalidImageError for sizes that do not belong together, NoDepthError with the reason when no target cloud can be
    made, ConfigurationError for a voxel size that is too small for the scene.
    """
    clouds = target_clouds([mask], depth_m, image_rgb, camera, options, pose, up, with_scene)
    report = clouds.reports[0]
    if report is None:
        raise NoDepthError(clouds.reasons[0])
    if not with_scene:
        return report
    return replace(report, scene_points=clouds.scene_points, scene_colors=clouds.scene_colors)


def target_clouds(
    masks: Sequence[np.ndarray],
    depth_m: np.ndarray,
    image_rgb: np.ndarray,
    camera: CameraModel,
    options: CloudOptions | None = None,
    pose: np.ndarray | None = None,
    up: np.ndarray | None = None,
    with_scene: bool = True,
) -> TargetClouds:
    """Clouds of all targets of an answer, and once for all of them the support and, if `with_scene`, the scene cloud.

    masks: each (H, W) bool. Other arguments and errors as of `target_cloud`, except that a target without a cloud is no
    error: its report is None and the reason is told.
    """
    options = options or CloudOptions()
    _check(masks, depth_m, image_rgb, camera, pose, up)
    pose = None if pose is None else np.asarray(pose, dtype=np.float64)
    up = None if up is None else np.asarray(up, dtype=np.float64) / np.linalg.norm(up)
    whole = view = View.of(depth_m, image_rgb, camera, options)
    sampled = [at_size(mask, view.depth.shape) for mask in masks]
    step = sampling_step(sampled, view, options)
    if step > 1:
        view, sampled = view.every(step), [mask[::step, ::step] for mask in sampled]
    targets, reasons = [], []
    for mask in sampled:
        try:
            targets.append(clean_target(np.ascontiguousarray(mask), view, options))
            reasons.append("")
        except NoDepthError as error:
            targets.append(None)
            reasons.append(str(error))
    shapes = [None if target is None else target.shape(view) for target in targets]
    standings, support = find_standing(targets, shapes, view, up)
    reports = []
    # Everything happens in the optical frame, so that another target frame changes coordinates and nothing else.
    for i, (mask, target, shape, standing) in enumerate(zip(masks, targets, shapes, standings, strict=True)):
        report = None
        if target is not None:
            try:
                report = describe(mask, target, shape, standing, view, options, up)
            except NoDepthError as error:
                reasons[i] = str(error)
        reports.append(report if report is None or pose is None else report.moved(pose))
    scene = _scene_cloud(masks, whole, options, pose) if with_scene else (None, None)
    moved = support if support is None or pose is None else support.moved(pose)
    return TargetClouds(tuple(reports), tuple(reasons), *scene, support=moved)


def scene_cloud(
    mask: np.ndarray,
    depth_m: np.ndarray,
    image_rgb: np.ndarray,
    camera: CameraModel,
    options: CloudOptions | None = None,
    pose: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Points (N, 3) float32 and colours (N, 3) uint8 of all that is in range and not under the grown mask; N may be 0.

    The workspace and the range of the options are of the frame that `pose` leads to. Arguments and errors as
    `target_cloud`, except that an empty mask, for the whole scene, is welcome.
    """
    options = options or CloudOptions()
    _check([mask], depth_m, image_rgb, camera, pose)
    pose = None if pose is None else np.asarray(pose, dtype=np.float64)
    return _scene_cloud([mask], View.of(depth_m, image_rgb, camera, options), options, pose)


def _scene_cloud(masks, view: View, options: CloudOptions, pose) -> tuple[np.ndarray, np.ndarray]:
    rest = view.usable & (view.depth <= options.scene_max_range)
    if len(masks):
        union = np.logical_or.reduce([at_size(mask, rest.shape) for mask in masks])
        rest &= ~dilate(union, options.scene_margin_pixels)
    rows, columns = np.nonzero(rest)
    points = view.points(rows, columns, view.depth[rows, columns])
    points, colors = one_per_voxel(points, view.colors(rows, columns), options.scene_voxel_size)
    if pose is not None:
        points = points @ pose[:3, :3].T + pose[:3, 3]
    low, high = options.workspace
    inside = ((points >= low) & (points <= high)).all(axis=1)
    return points[inside].astype(np.float32), colors[inside]


def _check(masks, depth_m, image_rgb, camera: CameraModel, pose, up=None):
    if image_rgb.ndim != 3 or image_rgb.shape[2] != 3 or image_rgb.dtype != np.uint8:
        raise InvalidImageError(f"the image must be (H, W, 3) uint8, got {image_rgb.shape} {image_rgb.dtype}")
    for mask in masks:
        if mask.shape != image_rgb.shape[:2] or mask.dtype != bool:
            raise InvalidImageError(f"a mask must be {image_rgb.shape[:2]} bool, got {mask.shape} {mask.dtype}")
    height, width = image_rgb.shape[:2]
    if (camera.height, camera.width) != (height, width):
        raise InvalidImageError(
            f"the camera model is for {camera.width}x{camera.height}, the image is {width}x{height}; "
            "both must have the same size: scale the camera model (CameraModel.scaled), or take the image's own"
        )
    if depth_m.ndim != 2 or depth_m.size == 0 or depth_m.dtype.kind != "f":
        raise InvalidImageError(f"depth must be (h, w) float in m, got {depth_m.shape} {depth_m.dtype}")
    camera.scaled(depth_m.shape[1], depth_m.shape[0])  # raises where the depth image shows another view
    if pose is not None and (np.shape(pose) != (4, 4) or not np.isfinite(pose).all()):
        raise InvalidImageError(f"a pose is a finite 4x4 matrix, got shape {np.shape(pose)}")
    if pose is not None and not _is_rigid(np.asarray(pose)):
        raise InvalidImageError(
            "a pose is a right-handed rotation and a translation in m in the last column, with 0 0 0 1 below; got "
            f"{np.round(np.asarray(pose, dtype=np.float64), 3).tolist()}"
        )
    if up is not None and (np.shape(up) != (3,) or not np.isfinite(up).all() or not np.linalg.norm(up) > 0):
        raise InvalidImageError(f"up is a finite direction of three numbers that are not all 0, got {up!r}")


def _is_rigid(pose: np.ndarray) -> bool:
    return is_rotation(pose[:3, :3]) and bool((pose[3] == (0, 0, 0, 1)).all())
