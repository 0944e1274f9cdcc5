"""Flying pixels, leaks, strays and noise, on depth images whose every pixel is known."""

import numpy as np
import pytest
from exact_world import VGA, World, grey
from hypothesis import given, settings
from hypothesis import strategies as st

from lisa_ros.geometry import CameraModel, CloudOptions, target_cloud, target_clouds
from lisa_ros.geometry.surfaces import flying_pixels, label_surfaces, noise_of, smoothed, stray_pixels
from lisa_ros.geometry.voxels import one_per_voxel

pytestmark = pytest.mark.unit

SLOPE, SPREAD = 6 / 580, 0.005


def steps(*depths, width=20, height=30) -> np.ndarray:
    """(h, w) float32: upright stripes of these depths."""
    return np.repeat(np.array(depths, np.float32)[None], height, axis=0).repeat(width, axis=1)


def test_pixels_between_two_surfaces_are_flying_and_those_at_the_edge_are_not():
    depth = steps(0.8, 1.2)
    everything = np.ones(depth.shape, bool)
    assert not flying_pixels(depth, everything, everything, SLOPE, SPREAD).any()
    depth[:, 20] = np.linspace(0.85, 1.15, 30)  # mixed, whatever the share
    flying = flying_pixels(depth, everything, everything, SLOPE, SPREAD)
    assert flying[1:-1, 20].all() and not flying[:, :19].any() and not flying[:, 22:].any()


@pytest.mark.parametrize("width", [1, 2, 3])
def test_a_thin_thing_before_a_wall_is_not_flying(width):
    depth = steps(1.2)
    depth[:, 10 : 10 + width] = 0.8
    everything = np.ones(depth.shape, bool)
    assert not flying_pixels(depth, everything, everything, SLOPE, SPREAD).any()


def test_surfaces_are_told_by_jumps():
    depth = steps(0.8, 0.81, 1.2, 0.8)
    labels = label_surfaces(depth, np.ones(depth.shape, bool), SLOPE * 2, SPREAD)
    assert labels.max() == 3
    assert len({int(labels[5, column]) for column in (5, 25)}) == 1
    assert len({int(labels[5, column]) for column in (5, 45, 65)}) == 3
    chosen = np.zeros(depth.shape, bool)
    assert label_surfaces(depth, chosen, SLOPE, SPREAD).max() == 0


@settings(max_examples=20)
@given(st.integers(0, 2**31), st.floats(0.1, 0.9))
def test_labels_are_connected_parts_of_the_chosen_pixels(seed, share):
    import cv2

    chosen = np.random.default_rng(seed).random((17, 23)) < share
    labels = label_surfaces(np.ones(chosen.shape, np.float32), chosen, SLOPE, SPREAD)
    count, expected = cv2.connectedComponents(chosen.astype(np.uint8), connectivity=8)
    assert labels.max() == count - 1
    pairs = set(zip(labels.ravel().tolist(), expected.ravel().tolist(), strict=True))
    assert len(pairs) == count if not chosen.all() else len(pairs) == 1


@pytest.mark.parametrize("sigma", [0.001, 0.003])
def test_noise_is_estimated_on_a_slanted_plane(sigma):
    inverse = 1.2 - np.linspace(0, 0.4, 240)[:, None] - np.linspace(0, 0.3, 320)[None]
    noisy = 1 / (inverse + np.random.default_rng(0).normal(0, sigma, inverse.shape))
    assert noise_of(noisy.astype(np.float32)) == pytest.approx(sigma, rel=0.15)
    assert noise_of((1 / inverse).astype(np.float32)) < 1e-5
    assert noise_of(np.zeros((10, 10), np.float32)) == 0
    assert noise_of(np.full((3, 5), np.nan, np.float32)) == 0


def test_smoothing_takes_noise_off_and_keeps_a_plane():
    inverse = 1.2 - np.linspace(0, 0.4, 60)[:, None] - np.linspace(0, 0.3, 80)[None]
    labels = np.ones(inverse.shape, np.int32)
    exact = (1 / inverse).astype(np.float32)
    np.testing.assert_allclose(smoothed(exact, labels, SLOPE, SPREAD, 2), exact, rtol=2e-6)
    noisy = (1 / (inverse + np.random.default_rng(0).normal(0, 0.003, inverse.shape))).astype(np.float32)
    better = smoothed(noisy, labels, SLOPE, 5 * 0.003, 2)
    assert np.std(better - exact) < 0.35 * np.std(noisy - exact)


def test_strays_have_no_neighbours_in_space():
    depth = steps(0.8)
    depth[15, 10] = 0.9
    everything = np.ones(depth.shape, bool)
    stray = stray_pixels(depth, everything, 1 / 580, 0.0007, 3, 3.0)
    assert stray.sum() == 1 and stray[15, 10]


def scene_with_box(noise=0.0):
    world = World(eye=(0.0, -0.65, 0.5))
    world.floor()
    thing = world.box((0.0, 0.0, 0.04), (0.12, 0.08, 0.08), 0.5)
    depth, owner = world.render()
    depth = depth + np.random.default_rng(0).normal(0, noise, depth.shape).astype(np.float32)
    return world, depth, owner == thing


def grown(mask, pixels):
    import cv2

    return cv2.dilate(mask.astype(np.uint8), np.ones((2 * pixels + 1,) * 2, np.uint8)).astype(bool)


@pytest.mark.parametrize("pixels", [1, 3, 6])
def test_a_mask_that_is_too_large_gains_nothing_of_the_table(pixels):
    world, depth, mask = scene_with_box()
    report = target_cloud(grown(mask, pixels), depth, grey(VGA), VGA, pose=world.pose)
    np.testing.assert_allclose(report.extents, (0.12, 0.08, 0.08), atol=0.006)
    assert report.points[:, 2].min() > 0.001


def test_flying_pixels_do_not_stretch_the_box():
    world, depth, mask = scene_with_box()
    rim = mask & grown(~mask, 1)
    shares = np.random.default_rng(0).random(int(rim.sum()))
    depth[rim] = depth[rim] + shares.astype(np.float32) * 0.4
    report = target_cloud(mask, depth, grey(VGA), VGA, pose=world.pose)
    np.testing.assert_allclose(report.extents, (0.12, 0.08, 0.08), atol=0.008)


def test_holes_and_nan_in_the_depth_do_not_move_the_box():
    world, depth, mask = scene_with_box(noise=0.001)
    holes = np.random.default_rng(1).random(depth.shape) < 0.3
    report = target_cloud(mask, np.where(holes, np.float32(np.nan), depth), grey(VGA), VGA, pose=world.pose)
    np.testing.assert_allclose(report.extents, (0.12, 0.08, 0.08), atol=0.008)
    assert report.depth_coverage == pytest.approx(0.7, abs=0.03)
    shadow = depth.copy()
    shadow[grown(mask, 20) & ~mask] = 0  # no table around the target, but further away
    report = target_cloud(mask, shadow, grey(VGA), VGA, pose=world.pose)
    assert report.extents[:2] == pytest.approx([0.12, 0.08], abs=0.008)


def test_without_the_filter_flying_pixels_stay():
    _, depth, mask = scene_with_box()
    rim = mask & grown(~mask, 1)
    depth[rim] += 0.1
    options = CloudOptions(outlier_neighbours=0, voxel_size=0)
    filtered = target_cloud(mask, depth, grey(VGA), VGA, options)
    options = CloudOptions(outlier_neighbours=0, voxel_size=0, jump_footprints=0)
    kept = target_cloud(mask, depth, grey(VGA), VGA, options)
    assert kept.point_count > filtered.point_count + 100


@pytest.mark.parametrize(("width", "height"), [(640, 480), (1280, 720)])
def test_sizes_of_image_and_depth_change_little(width, height):
    camera = CameraModel(width, height, 0.9 * width, 0.9 * width, (width - 1) / 2, (height - 1) / 2)
    found = []
    for scale in (1, 2):
        world = World(camera.scaled(width // scale, height // scale), (0.0, -0.65, 0.5))
        world.floor()
        thing = world.box((0.0, 0.0, 0.04), (0.12, 0.08, 0.08), 0.5)
        depth, owner = world.render()
        if scale == 1:
            mask = owner == thing
        found.append(target_cloud(mask, depth, grey(camera), camera, pose=world.pose, with_scene=False))
    for report in found:
        np.testing.assert_allclose(report.extents, (0.12, 0.08, 0.08), atol=0.006)
        np.testing.assert_allclose(report.box_center, (0.0, 0.0, 0.04), atol=0.004)


def test_three_hundred_thousand_pixels_have_a_cloud():
    camera = CameraModel(1280, 720, 900.0, 900.0, 639.5, 359.5)
    world = World(camera, (0.0, -0.8, 0.9))
    world.floor()
    thing = world.box((0.0, 0.0, 0.03), (1.0, 0.7, 0.06), 0.1)
    depth, owner = world.render()
    mask = owner == thing
    assert mask.sum() > 300_000
    report = target_cloud(mask, depth, grey(camera), camera, pose=world.pose, with_scene=False)
    np.testing.assert_allclose(report.extents, (1.0, 0.7, 0.06), atol=0.004)


@settings(max_examples=25)
@given(st.integers(0, 2**31), st.floats(0.2, 1.0), st.integers(1, 12), st.sampled_from([1.0, 1.5, 3.0]))
def test_strays_are_those_with_too_few_neighbours_counted_one_by_one(seed, share, neighbours, radius):
    rng = np.random.default_rng(seed)
    depth = rng.normal(1.0, 0.004, (9, 11)).astype(np.float32)
    chosen = rng.random(depth.shape) < share
    v, u = np.nonzero(chosen)
    z = depth[v, u].astype(float)
    square = (v[:, None] - v) ** 2 + (u[:, None] - u) ** 2
    apart = (z[:, None] - z) ** 2 + square * (0.002 * z[:, None]) ** 2
    near = apart <= (radius * 0.002 * z[:, None]) ** 2 + (0.001 * z[:, None] ** 2) ** 2
    expected = np.zeros_like(chosen)
    expected[v, u] = near.sum(axis=1) - 1 < neighbours
    np.testing.assert_array_equal(stray_pixels(depth, chosen, 0.002, 0.001, neighbours, radius), expected)


@pytest.mark.parametrize("scale", [1, 2])  # of the image, with depth in half its resolution or in its own
def test_pixels_closer_than_the_cubes_are_left_out_and_the_box_stays(scale):
    camera = CameraModel(1281, 721, 900.0, 900.0, 639.5, 359.5)
    world = World(camera, (0.0, -0.5, 0.9))
    world.floor()
    thing = world.box((0.0, 0.0, 0.05), (0.6, 0.4, 0.1), 0.1)
    depth, owner = world.render()
    mask = np.repeat(np.repeat(owner == thing, scale, axis=0), scale, axis=1)
    assert mask.sum() > 160_000
    image = np.where(mask[..., None], np.uint8((200, 30, 20)), np.uint8(128))
    camera = camera.scaled(scale * 1281, scale * 721)
    reports = {
        size: target_cloud(mask, depth, image, camera, CloudOptions(voxel_size=size), world.pose, with_scene=False)
        for size in (0.0, 0.001, 0.003)
    }
    assert reports[0.0].point_count > 150_000  # every point
    assert reports[0.001].point_count > 100_000  # the pixels are further apart than that
    assert 25_000 < reports[0.003].point_count < 50_000
    for report in reports.values():
        np.testing.assert_allclose(report.extents, (0.6, 0.4, 0.1), atol=0.003)
        np.testing.assert_allclose(report.box_center, (0.0, 0.0, 0.05), atol=0.002)
        assert (report.colors == (200, 30, 20)).all()


def test_a_small_target_keeps_its_pixels_beside_a_large_one():
    camera = CameraModel(1280, 720, 900.0, 900.0, 639.5, 359.5)
    world = World(camera, (0.0, -0.5, 0.9))
    world.floor()
    things = world.box((0.1, 0.0, 0.05), (0.6, 0.4, 0.1)), world.box((-0.4, 0.0, 0.02), (0.04, 0.03, 0.04))
    depth, owner = world.render()
    options = CloudOptions(voxel_size=0.003)
    large, small = (owner == thing for thing in things)
    alone = target_clouds([small], depth, grey(camera), camera, options).reports[0]
    beside = target_clouds([small, large], depth, grey(camera), camera, options).reports[0]
    assert large.sum() > 160_000
    np.testing.assert_array_equal(alone.points, beside.points)


@settings(max_examples=25)
@given(st.integers(0, 2**31), st.integers(1, 300), st.sampled_from([0.01, 0.1, 0.5]))
def test_voxels_hold_means_of_their_points(seed, count, size):
    rng = np.random.default_rng(seed)
    points, colors = rng.uniform(-1, 1, (count, 3)), rng.integers(0, 256, (count, 3), dtype=np.uint8)
    merged, mixed = one_per_voxel(points, colors, size)
    cubes = np.floor((points - points.min(axis=0)) / size + 1e-12).astype(int)
    groups = {}
    for index, cube in enumerate(map(tuple, cubes)):
        groups.setdefault(cube, []).append(index)
    assert len(merged) == len(mixed) <= len(groups) + 3  # a point on a face may fall to either side
    if len(merged) == len(groups):
        expected = np.array([points[group].mean(axis=0) for group in groups.values()])
        if np.abs((points - points.min(axis=0)) / size % 1 - 0.5).max() < 0.5 - 1e-9 or count == 1:
            np.testing.assert_allclose(merged, expected, atol=1e-12)
    same, _ = one_per_voxel(points, colors, 0)
    assert same is points
