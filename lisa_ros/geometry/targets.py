"""The report of one target: its cloud, its box on the support, and what they are worth."""

import numpy as np

from lisa_ros.errors import NoDepthError
from lisa_ros.geometry.boxes import oriented_box
from lisa_ros.geometry.cleaning import CleanTarget, View
from lisa_ros.geometry.completion import outline
from lisa_ros.geometry.grasps import top_grasp
from lisa_ros.geometry.masks import bounding_box, count_components, touches_border
from lisa_ros.geometry.options import CloudOptions
from lisa_ros.geometry.quality import trust, warnings
from lisa_ros.geometry.report import CloudReport, SupportPlane
from lisa_ros.geometry.standing import Standing
from lisa_ros.geometry.symmetry import Evidence
from lisa_ros.geometry.upright import upright_box
from lisa_ros.geometry.voxels import one_per_voxel

_ON_SUPPORT = 0.002, 2.0  # m, and standard deviations of the depth: what is lower is the support's, not the target's
_RIM_NOISE = 0.4  # standard deviations by which a noisy camera's pixels at a rim lie too far out
_KEPT = 0.4  # share of the points that must be left without those; a sheet of paper is all of them


def describe(
    mask: np.ndarray,
    target: CleanTarget,
    shape: np.ndarray,
    standing: Standing,
    view: View,
    options: CloudOptions,
    up: np.ndarray | None,
) -> CloudReport:
    """In the optical frame.

    mask: (H, W) bool at the image's size. shape: (N, 3) m, some of the target's points. up: (3,) unit vector against
    gravity, if known. Raises NoDepthError where too little is left.
    """
    rows, columns, depth = target.pixels(target.kept)
    points = view.points(rows, columns, depth)
    plane = standing.plane
    if plane is not None:
        above, shape_above = (_above(plane, p, view.noise) for p in (points, shape))
        if shape_above.mean() > _KEPT:
            points, rows, columns, shape = points[above], rows[above], columns[above], shape[shape_above]
    cloud, cloud_colors = one_per_voxel(points, view.colors(rows, columns), options.voxel_size)
    if len(cloud) < options.min_points:
        raise NoDepthError(f"only {len(cloud)} points are left after filtering, below min_points={options.min_points}")
    completed, height, grasp = False, float("nan"), None
    level = plane if plane is not None or up is None else SupportPlane(up, 0.0)
    if level is None:
        center, rotation, extents = oriented_box(cloud)
    else:
        z = float(np.median(shape[:, 2]))
        margin = 0.5 * view.footprint * z - _RIM_NOISE * view.noise * z * z
        found = outline(shape, level.normal, Evidence.of(target, shape, view))
        heights = level.height(shape)
        bottom = 0.0 if standing.on_plane else float(heights.min())
        top = max(bottom, float(heights.max()))
        box = upright_box(found.horizontal, found.low - margin, found.high + margin, level, bottom, top)
        center, rotation, extents = box.center, box.rotation, box.extents
        completed = found.completed
        if plane is not None:
            height, grasp = top, top_grasp(found.points, box, plane, margin, options.gripper_opening)
    worth = trust(shape, center, rotation, extents, standing, completed, view)
    border = touches_border(mask)
    return CloudReport(
        points=cloud.astype(np.float32),
        colors=cloud_colors,
        scene_points=np.zeros((0, 3), np.float32),
        scene_colors=np.zeros((0, 3), np.uint8),
        centroid=cloud.mean(axis=0),
        box_center=center,
        box_rotation=rotation,
        extents=extents,
        depth_coverage=target.coverage,
        point_count=len(cloud),
        components=count_components(mask[bounding_box(mask)]),
        touches_border=border,
        support=plane,
        completed=completed,
        visible_share=worth.visible_share,
        center_stddev=worth.center_stddev,
        extents_stddev=worth.extents_stddev,
        height=height,
        grasp=grasp,
        warnings=warnings(standing, grasp, height, target.coverage, border, worth.visible_share, options),
    )


def _above(plane: SupportPlane, points: np.ndarray, noise: float) -> np.ndarray:
    return plane.height(points) > _ON_SUPPORT[0] + _ON_SUPPORT[1] * noise * np.square(points[:, 2])
