"""Target and scene clouds for grasping, from a mask, a registered depth image and a camera model."""

from collections.abc import Sequence

import numpy as np

from lisa_ros.errors import ConfigurationError, InvalidImageError, NoDepthError
from lisa_ros.geometry.boxes import oriented_box
from lisa_ros.geometry.camera import CameraModel
from lisa_ros.geometry.masks import count_components, dilate, erode_parts, nearest_index, touches_border
from lisa_ros.geometry.options import CloudOptions
from lisa_ros.geometry.poses import is_rotation
from lisa_ros.geometry.report import CloudReport, TargetClouds

_MAX_VOXELS = 2**31 - 2  # along an axis: open3d counts them in 32 bits


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
    """Clouds of the masked object and, if `with_scene`, of the rest of the scene.

    mask: (H, W) bool. depth_m: (h, w) float m along z, registered to the image, possibly of another resolution; 0, NaN
    and Inf are invalid. image_rgb: (H, W, 3) uint8 RGB. camera: that of the image. pose: (4, 4) wanted frame <- optical
    frame. Raises InvalidImageError for sizes that do not belong together, NoDepthError with the reason when no target
    cloud can be made, ConfigurationError for a voxel size that is too small for the scene.
    """
    options = options or CloudOptions()
    _check(mask, depth_m, image_rgb, camera, pose)
    small_mask = _at_depth_size(mask, depth_m.shape)
    valid = np.isfinite(depth_m) & (depth_m > 0)
    core = erode_parts(small_mask, options.erode_pixels, options.min_kept_share, options.min_component_share)
    chosen = core & _in_range(depth_m, options)
    if chosen.sum() < options.min_points:
        raise NoDepthError(_why_empty(small_mask, core, chosen, valid, depth_m, options))
    points, colors = _points(chosen, depth_m, image_rgb, camera)
    spacing = max(options.voxel_size, np.median(points[:, 2]) / camera.fx * camera.width / depth_m.shape[1])
    points, colors = _one_per_voxel(points, colors, options.voxel_size)
    points, colors = _without_outliers(points, colors, spacing, options)
    if len(points) < options.min_points:
        raise NoDepthError(f"only {len(points)} points are left after filtering, below min_points={options.min_points}")
    # Cleaning and box happen in the optical frame, so that another target frame changes coordinates and nothing else.
    center, rotation, extents = oriented_box(points)
    scene_points, scene_colors = np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint8)
    if with_scene:
        scene_points, scene_colors = scene_cloud(mask, depth_m, image_rgb, camera, options, pose)
    pose = np.eye(4) if pose is None else np.asarray(pose, dtype=np.float64)
    return CloudReport(
        points=_moved(points, pose).astype(np.float32),
        colors=colors,
        scene_points=scene_points,
        scene_colors=scene_colors,
        centroid=_moved(points.mean(axis=0), pose),
        box_center=_moved(center, pose),
        box_rotation=pose[:3, :3] @ rotation,
        extents=extents,
        depth_coverage=float(valid[small_mask].mean()),
        point_count=len(points),
        components=count_components(mask),
        touches_border=touches_border(mask),
        support=None,
        completed=False,
        visible_share=0.5,
        center_stddev=extents / 4,
        extents_stddev=extents / 4,
        height=float("nan"),
        grasp=None,
        warnings=("no_support: no plane was found that the target stands on",),
    )


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

    masks: each (H, W) bool. Other arguments as of `target_cloud`. Where a target can have no cloud its report is None
    and the reason is told. Raises InvalidImageError and ConfigurationError as `target_cloud` does.
    """
    options = options or CloudOptions()
    reports, reasons = [], []
    for mask in masks:
        try:
            reports.append(target_cloud(mask, depth_m, image_rgb, camera, options, pose, with_scene=False, up=up))
            reasons.append("")
        except NoDepthError as error:
            reports.append(None)
            reasons.append(str(error))
    scene = None, None
    if with_scene:
        union = np.logical_or.reduce(masks) if len(masks) else np.zeros(image_rgb.shape[:2], bool)
        scene = scene_cloud(union, depth_m, image_rgb, camera, options, pose)
    return TargetClouds(tuple(reports), tuple(reasons), *scene, support=None)


def scene_cloud(
    mask: np.ndarray,
    depth_m: np.ndarray,
    image_rgb: np.ndarray,
    camera: CameraModel,
    options: CloudOptions | None = None,
    pose: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Points (N, 3) float32 and colours (N, 3) uint8 of all that is in range and not under the grown mask; N may be 0.

    Arguments and errors as `target_cloud`, except that an empty mask, for the whole scene, is welcome.
    """
    options = options or CloudOptions()
    _check(mask, depth_m, image_rgb, camera, pose)
    rest = _in_range(depth_m, options) & ~dilate(_at_depth_size(mask, depth_m.shape), options.scene_margin_pixels)
    points, colors = _one_per_voxel(*_points(rest, depth_m, image_rgb, camera), options.scene_voxel_size)
    return (points if pose is None else _moved(points, np.asarray(pose))).astype(np.float32), colors


def _check(mask, depth_m, image_rgb, camera: CameraModel, pose):
    if image_rgb.ndim != 3 or image_rgb.shape[2] != 3 or image_rgb.dtype != np.uint8:
        raise InvalidImageError(f"the image must be (H, W, 3) uint8, got {image_rgb.shape} {image_rgb.dtype}")
    if mask.shape != image_rgb.shape[:2] or mask.dtype != bool:
        raise InvalidImageError(f"the mask must be {image_rgb.shape[:2]} bool, got {mask.shape} {mask.dtype}")
    if (camera.height, camera.width) != mask.shape:
        raise InvalidImageError(
            f"the camera model is for {camera.width}x{camera.height}, the image is {mask.shape[1]}x{mask.shape[0]}; "
            "camera_info and image must come from the same stream"
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


def _is_rigid(pose: np.ndarray) -> bool:
    return is_rotation(pose[:3, :3]) and bool((pose[3] == (0, 0, 0, 1)).all())


def _why_empty(mask, core, chosen, valid, depth_m, options: CloudOptions) -> str:
    if not mask.any():
        return "the mask is empty at the size of the depth image"
    if not valid.any():
        return "the depth image has no valid pixel"
    if not (valid & mask).any():
        return f"none of the target's {int(mask.sum())} pixels has valid depth (too near, shiny, transparent, shadow)"
    if not chosen.any() and (valid & core).any():
        nearest = float(depth_m[valid & core].min())
        return (
            f"the target's depth starts at {nearest:.2f} m, outside the range {options.min_range:g} to "
            f"{options.max_range:g} m; change min_range or max_range"
        )
    return (
        f"only {int(chosen.sum())} of the target's {int(mask.sum())} pixels have depth in range and away from its rim, "
        f"below min_points={options.min_points}"
    )


def _in_range(depth_m: np.ndarray, options: CloudOptions) -> np.ndarray:
    # NaN compares false; max_range is finite, so Inf does too.
    return (depth_m > 0) & (depth_m >= options.min_range) & (depth_m <= options.max_range)


def _at_depth_size(mask: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    if mask.shape == shape:
        return mask
    return mask[np.ix_(nearest_index(shape[0], mask.shape[0]), nearest_index(shape[1], mask.shape[1]))]


def _points(chosen, depth_m, image_rgb, camera: CameraModel) -> tuple[np.ndarray, np.ndarray]:
    height, width = depth_m.shape
    rows, columns = np.nonzero(chosen)
    points = camera.scaled(width, height).back_project(rows, columns, depth_m[rows, columns])
    image_rows, image_columns = nearest_index(height, image_rgb.shape[0]), nearest_index(width, image_rgb.shape[1])
    return points, image_rgb[image_rows[rows], image_columns[columns]]


def _one_per_voxel(points: np.ndarray, colors: np.ndarray, size: float) -> tuple[np.ndarray, np.ndarray]:
    if size == 0 or not len(points):
        return points, colors
    import open3d

    apart = np.ptp(points, axis=0).max()
    if apart >= size * _MAX_VOXELS:
        raise ConfigurationError(
            f"cubes of {size} m are too small for points {apart:.2f} m apart; give voxel_size and scene_voxel_size in "
            "m, or 0 for every point"
        )
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points))
    cloud.colors = open3d.utility.Vector3dVector(colors / 255.0)
    cloud = cloud.voxel_down_sample(size)
    return np.asarray(cloud.points), np.rint(np.asarray(cloud.colors) * 255).astype(np.uint8)


def _without_outliers(points, colors, spacing: float, options: CloudOptions) -> tuple[np.ndarray, np.ndarray]:
    # Statistical filters cut the corners off clean flat faces, where all other distances are equal; a radius does not.
    if options.outlier_neighbours == 0:
        return points, colors
    import open3d

    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points))
    _, kept = cloud.remove_radius_outlier(options.outlier_neighbours, options.outlier_radius * spacing)
    return points[kept], colors[kept]


def _moved(points: np.ndarray, pose: np.ndarray) -> np.ndarray:
    return points @ pose[:3, :3].T + pose[:3, 3]
