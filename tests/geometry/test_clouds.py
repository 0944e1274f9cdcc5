"""Clouds of scenes whose shapes are known exactly, because their depth images are computed here ray by ray."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lisa_ros.errors import ConfigurationError, InvalidImageError, NoDepthError
from lisa_ros.geometry import CameraModel, CloudOptions, scene_cloud, target_cloud

pytestmark = pytest.mark.unit

CAMERA = CameraModel(320, 240, 300.0, 300.0, 159.5, 119.5)
WALL = 1.5  # m


def rays(camera=CAMERA):
    rows, columns = np.mgrid[: camera.height, : camera.width]
    depth = np.ones(rows.size)
    return camera.back_project(rows.ravel(), columns.ravel(), depth).reshape(camera.height, camera.width, 3)


def wall(camera=CAMERA):
    return np.full((camera.height, camera.width), WALL, np.float32)


def sphere(center, radius, camera=CAMERA):
    """Depth (H, W) in front of the wall, and the sphere's mask."""
    ray, center = rays(camera), np.array(center)
    a, b, c = (ray**2).sum(-1), ray @ center, center @ center - radius**2
    root = b**2 - a * c
    mask = root > 0
    depth = wall(camera)
    depth[mask] = ((b - np.sqrt(np.maximum(root, 0))) / a)[mask]
    return depth, mask


def cuboid(center, axes, size, camera=CAMERA):
    ray = rays(camera) @ axes
    origin, half = -np.array(center) @ axes, np.array(size) / 2
    with np.errstate(divide="ignore"):
        first, second = (-half - origin) / ray, (half - origin) / ray
    near, far = np.minimum(first, second).max(-1), np.maximum(first, second).min(-1)
    mask = (near < far) & (near > 0)
    depth = wall(camera)
    depth[mask] = near[mask]
    return depth, mask


def colours(mask):
    image = np.full((*mask.shape, 3), 128, np.uint8)
    image[mask] = (200, 30, 20)
    return image


def cloud_of(depth, mask, camera=CAMERA, options=None, pose=None):
    return target_cloud(mask, depth, colours(mask), camera, options, pose)


def turn(yaw, pitch):
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    return np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]]) @ np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])


POSE = np.eye(4)
POSE[:3, :3], POSE[:3, 3] = turn(0.7, -1.9), (0.4, -2.0, 1.1)


def test_sphere_gives_its_visible_cap():
    center, radius = np.array([0.05, -0.02, 0.8]), 0.1
    report = cloud_of(*sphere(center, radius))
    distance = np.linalg.norm(report.points - center, axis=1)
    assert np.abs(distance - radius).max() < 0.002
    assert report.extents[0] == pytest.approx(2 * radius, abs=0.022)  # less two pixels of a rim that recedes steeply
    # By symmetry the centroid lies on the line of sight, between the pole and the middle of the cap.
    away = np.linalg.norm(center)
    off_pole = away - radius - np.linalg.norm(report.centroid)
    assert np.linalg.norm(np.cross(report.centroid, center / away)) < 0.001
    assert -radius * (1 - radius / away) / 2 < off_pole < -0.01
    assert (report.colors == (200, 30, 20)).all()
    assert (report.depth_coverage, report.components, report.touches_border) == (1.0, 1, False)
    assert report.points.dtype == np.float32 and report.point_count == len(report.points) > 500


@pytest.mark.parametrize(("yaw", "pitch"), [(0.6, 0.5), (-0.7, 0.6), (0.8, -0.6)])
def test_cuboid_with_three_visible_faces_gives_its_pose_and_size(yaw, pitch):
    center, axes, size = np.array([0.02, 0.03, 0.6]), turn(yaw, pitch), np.array([0.16, 0.10, 0.07])
    camera = CAMERA.scaled(640, 480)
    report = cloud_of(*cuboid(center, axes, size, camera), camera)
    np.testing.assert_allclose(report.extents, size, atol=0.007)
    np.testing.assert_allclose(report.box_center, center, atol=0.005)
    agreement = np.abs(report.box_rotation.T @ axes)
    np.testing.assert_allclose(agreement, np.eye(3), atol=0.08)


def test_flat_target_has_a_flat_box():
    depth, mask = wall(), np.zeros((240, 320), bool)
    mask[100:141, 100:181] = True
    report = cloud_of(depth, mask)
    pixel = WALL / CAMERA.fx
    np.testing.assert_allclose(report.extents, [80 * pixel, 40 * pixel, 0], atol=1e-4)
    assert np.linalg.det(report.box_rotation) == pytest.approx(1)


@pytest.mark.parametrize("width", [1, 2, 3, 5])
def test_thin_knife_survives(width):
    depth, mask = wall(), np.zeros((240, 320), bool)
    mask[100 : 100 + width, 60:220] = True
    depth[mask] = 0.7
    report = cloud_of(depth, mask)
    assert report.extents[0] == pytest.approx(160 * 0.7 / 300, abs=0.02)
    assert report.point_count > 50


def test_flying_pixels_at_the_rim_are_not_in_the_cloud():
    center, radius = np.array([0, 0, 0.7]), 0.1
    depth, mask = sphere(center, radius)
    rim = mask & ~(np.roll(mask, 1, 0) & np.roll(mask, -1, 0) & np.roll(mask, 1, 1) & np.roll(mask, -1, 1))
    depth[rim] = np.random.default_rng(0).uniform(0.7, WALL, rim.sum())
    report = cloud_of(depth, mask)
    assert np.abs(np.linalg.norm(report.points - center, axis=1) - radius).max() < 0.003


def test_specks_of_the_mask_do_not_stretch_the_box():
    depth, mask = sphere((0, 0, 0.8), 0.1)
    clean = cloud_of(depth, mask)
    speckled = mask.copy()
    speckled[5:8, 5:8] = speckled[220:224, 300:304] = True
    report = cloud_of(depth, speckled)
    np.testing.assert_allclose(report.extents, clean.extents, atol=1e-6)
    assert report.components == 3


def test_parts_of_like_size_stay_together():
    first, first_mask = sphere((-0.2, 0, 0.8), 0.08)
    second, second_mask = sphere((0.2, 0, 0.8), 0.08)
    report = cloud_of(np.minimum(first, second), first_mask | second_mask)
    assert report.components == 2
    assert report.extents[0] == pytest.approx(0.4 + 2 * 0.08, abs=0.045)


def test_scene_is_the_rest_and_keeps_clear_of_the_target():
    depth, mask = sphere((0, 0, 0.8), 0.1)
    report = cloud_of(depth, mask)
    np.testing.assert_allclose(report.scene_points[:, 2], WALL, atol=1e-3)
    hole = np.linalg.norm(report.scene_points[:, :2], axis=1).min()
    assert hole > 0.1 * WALL / 0.8
    assert (report.scene_colors == 128).all()
    whole, _ = scene_cloud(np.zeros_like(mask), depth, colours(mask), CAMERA)
    assert len(whole) > len(report.scene_points)


@settings(max_examples=15)
@given(
    st.floats(-0.25, 0.25),
    st.floats(-0.2, 0.2),
    st.floats(0.5, 1.2),
    st.floats(0.02, 0.1),
    st.floats(-3, 3),
    st.floats(-1.5, 1.5),
)
def test_another_frame_moves_everything_and_changes_nothing(x, y, z, radius, yaw, pitch):
    depth, mask = sphere((x, y, z), radius)
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = turn(yaw, pitch), (x, 2 * y, -z)
    here, there = cloud_of(depth, mask), cloud_of(depth, mask, pose=pose)

    def moved(points):
        return points @ pose[:3, :3].T + pose[:3, 3]

    np.testing.assert_allclose(there.points, moved(here.points), atol=1e-5)
    np.testing.assert_allclose(there.scene_points, moved(here.scene_points), atol=1e-5)
    np.testing.assert_allclose(there.centroid, moved(here.centroid), atol=1e-9)
    np.testing.assert_allclose(there.box_center, moved(here.box_center), atol=1e-9)
    np.testing.assert_allclose(there.box_rotation, pose[:3, :3] @ here.box_rotation, atol=1e-9)
    np.testing.assert_array_equal(there.extents, here.extents)
    inside = (there.points - there.box_center) @ there.box_rotation
    assert (np.abs(inside) <= there.extents / 2 + 1e-4).all()


@settings(max_examples=15)
@given(st.floats(-0.25, 0.25), st.floats(-0.2, 0.2), st.floats(0.5, 1.2), st.integers(0, 2**31))
def test_points_lie_under_the_mask(x, y, z, seed):
    depth, mask = sphere((x, y, z), 0.1)
    mask &= np.random.default_rng(seed).random(mask.shape) < 0.9
    report = cloud_of(depth, mask, options=CloudOptions(voxel_size=0))
    columns, rows = np.rint(CAMERA.project(report.points)).astype(int).T
    assert mask[rows, columns].all()


@pytest.mark.parametrize("scale", [0.5, 2])
def test_depth_of_another_resolution_gives_the_same_object(scale):
    other = CAMERA.scaled(int(320 * scale), int(240 * scale))
    center, radius = (0.05, -0.02, 0.8), 0.1
    same, mask = sphere(center, radius)
    depth, _ = sphere(center, radius, other)
    report, reference = cloud_of(depth, mask), cloud_of(same, mask)
    np.testing.assert_allclose(report.centroid, reference.centroid, atol=0.008)
    np.testing.assert_allclose(report.extents, reference.extents, atol=0.025)
    assert np.abs(np.linalg.norm(report.points - center, axis=1) - radius).max() < 0.004
    assert (report.colors == (200, 30, 20)).all()


def test_coverage_counts_holes_in_the_depth():
    depth, mask = sphere((0, 0, 0.8), 0.1)
    depth[:, :160] = np.nan
    report = cloud_of(depth, mask)
    assert report.depth_coverage == pytest.approx(0.5, abs=0.02)
    assert (report.points[:, 0] > 0).all()


def test_a_mask_at_the_edge_touches_the_border():
    depth, mask = sphere((0.42, 0, 0.8), 0.1)
    assert cloud_of(depth, mask).touches_border


def test_a_mask_of_everything_has_no_scene():
    report = cloud_of(wall(), np.ones((240, 320), bool))
    assert len(report.scene_points) == 0 and report.scene_points.shape == (0, 3)
    assert report.extents[0] == pytest.approx(320 * WALL / 300, abs=0.02)


def hole(depth, mask):
    return np.where(mask, np.float32(np.nan), depth)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda depth, mask: (depth, np.zeros_like(mask)), "mask is empty"),
        (lambda depth, mask: (np.full_like(depth, np.nan), mask), "no valid pixel"),
        (lambda depth, mask: (np.zeros_like(depth), mask), "no valid pixel"),
        (lambda depth, mask: (hole(depth, mask), mask), "none of the target's"),
        (lambda depth, mask: (np.where(mask, np.float32(25), depth), mask), "max_range"),
        (
            lambda depth, mask: (depth, mask & (np.abs(rays()[..., :2]) < 0.005).all(-1)),
            "only 0 of the target's 4 pixels have depth in range on a surface .4 have any",
        ),
    ],
)
def test_no_cloud_says_why(change, reason):
    depth, mask = sphere((0, 0, 0.8), 0.1)
    depth, mask = change(depth, mask)
    with pytest.raises(NoDepthError, match=reason):
        cloud_of(depth, mask)


def test_parts_that_do_not_belong_together_are_refused():
    depth, mask = sphere((0, 0, 0.8), 0.1)
    image = colours(mask)
    for arguments in [
        (mask[:100], depth, image, CAMERA),
        (mask.astype(np.uint8), depth, image, CAMERA),
        (mask, depth, image[..., 0], CAMERA),
        (mask, depth, image, CAMERA.scaled(640, 480)),
        (mask, depth[:, :200], image, CAMERA),
        (mask, (depth * 1000).astype(np.uint16), image, CAMERA),
        (mask, depth[:0], image, CAMERA),
        (mask, depth, image, CAMERA, None, np.eye(3)),
        (mask, depth, image, CAMERA, None, np.full((4, 4), np.nan)),
        (mask, depth, image, CAMERA, None, np.zeros((4, 4))),
        (mask, depth, image, CAMERA, None, POSE.T),
        (mask, depth, image, CAMERA, None, np.diag([2.0, 2, 2, 1])),
        (mask, depth, image, CAMERA, None, np.diag([1.0, 1, -1, 1])),
    ]:
        with pytest.raises(InvalidImageError):
            target_cloud(*arguments)


@pytest.mark.parametrize("nothing", ["mask", "depth"])
def test_depth_of_another_view_is_refused_where_nothing_is_found_too(nothing):
    """Not NoDepthError: it would send the reader to look for shiny surfaces."""
    depth, mask = sphere((0, 0, 0.8), 0.1)
    if nothing == "mask":
        mask[:] = False
    else:
        depth[:] = 0
    for cloud in (target_cloud, scene_cloud):
        with pytest.raises(InvalidImageError, match="the aspects differ"):
            cloud(mask, depth[:, :200], colours(mask), CAMERA)


@pytest.mark.parametrize("option", ["voxel_size", "scene_voxel_size"])
def test_voxels_too_small_to_be_counted(option):
    depth, mask = sphere((0, 0, 0.8), 0.1)
    with pytest.raises(ConfigurationError, match=r"cubes of 1e-12 m .* scene_voxel_size in m, or 0"):
        cloud_of(depth, mask, options=CloudOptions(**{option: 1e-12}))


@pytest.mark.parametrize(
    "wrong",
    [
        *(
            {"scene_margin_pixels": -1},
            {"voxel_size": float("nan")},
            {"min_range": 2, "max_range": 1},
            {"min_points": 0},
        ),
        *({"scene_margin_pixels": 1.5}, {"outlier_neighbours": 3.0}, {"outlier_neighbours": True}),
        *({"voxel_size": "0.01"}, {"max_range": None}, {"scene_min_z": 1.0, "scene_max_z": 1.0}),
    ],
)
def test_options_are_checked(wrong):
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        CloudOptions(**wrong)


def test_inputs_stay_as_they_are():
    depth, mask = sphere((0, 0, 0.8), 0.1)
    image = colours(mask)
    copies = depth.copy(), mask.copy(), image.copy()
    target_cloud(mask, depth, image, CAMERA, pose=POSE)
    for array, copy in zip((depth, mask, image), copies, strict=True):
        np.testing.assert_array_equal(array, copy)
