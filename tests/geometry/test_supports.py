"""Which plane a target stands on, and where its box begins, in scenes whose truth is exact."""

import numpy as np
import pytest
from exact_world import VGA, World, grey
from hypothesis import given, settings
from hypothesis import strategies as st

from lisa_ros.geometry import CloudOptions, target_cloud, target_clouds

pytestmark = pytest.mark.unit


def report_of(world: World, thing: int, *, up=None, depth=None, noise=0.0, seed=0, mask=None):
    """In world coordinates."""
    exact, owner = world.render()
    if depth is None:
        depth = exact + np.random.default_rng(seed).normal(0, noise, exact.shape).astype(np.float32) * exact**2
    mask = owner == thing if mask is None else mask
    return target_cloud(mask, depth, grey(world.camera), world.camera, None, world.pose, False, up)


def assert_stands_at(report, height, tolerance=0.003):
    """On a level plane of this height, with a box that begins there."""
    np.testing.assert_allclose(report.support.normal, [0, 0, 1], atol=0.02)
    assert report.support.height(report.box_center * [1, 1, 0] + [0, 0, height]) == pytest.approx(0, abs=tolerance)
    assert report.box_center[2] - report.extents[2] / 2 == pytest.approx(height, abs=tolerance)


@settings(max_examples=8)
@given(
    st.floats(-3.1, 3.1),
    st.floats(0.45, 1.2),
    st.floats(0.5, 0.8),
    st.sampled_from([0.0, 0.002]),
    st.booleans(),
    st.integers(0, 1000),
)
def test_a_box_on_a_table_is_found_from_any_side(yaw, elevation, distance, noise, known, seed):
    eye = distance * np.array([0.0, -np.cos(elevation), np.sin(elevation)])
    world = World(VGA.scaled(400, 300), tuple(eye))
    world.floor()
    size = (0.14, 0.07, 0.05)
    thing = world.box((0.02, 0.01, 0.025), size, yaw)
    report = report_of(world, thing, up=world.up if known else None, noise=noise, seed=seed)
    assert_stands_at(report, 0.0, 0.003 + 2 * noise)
    np.testing.assert_allclose(report.extents, size, atol=0.006 + 2 * noise)
    np.testing.assert_allclose(report.box_center, (0.02, 0.01, 0.025), atol=0.005 + 2 * noise)
    axis = np.array([np.cos(yaw), np.sin(yaw), 0])
    assert abs(report.box_rotation[:, 0] @ axis) > np.cos(np.radians(3 + 1000 * noise))
    assert report.box_rotation[2, 2] > 0.99 and np.linalg.det(report.box_rotation) == pytest.approx(1)
    assert report.height == pytest.approx(0.05, abs=0.004 + 2 * noise)


@pytest.mark.parametrize("yaw", [0.0, 0.4, np.pi / 4])
def test_a_cube_is_not_laid_into_its_diagonal(yaw):
    world = World(eye=(0.0, -0.6, 0.5))
    world.floor()
    thing = world.box((0.0, 0.0, 0.05), (0.1, 0.1, 0.1), yaw)
    np.testing.assert_allclose(report_of(world, thing).extents, [0.1] * 3, atol=0.006)


def test_the_shelf_and_not_the_floor_below_it():
    world = World(eye=(0.0, -0.8, 0.9), target=(0.0, 0.0, 0.4))
    world.floor(-0.4)
    world.box((0.0, 0.1, 0.3), (0.5, 0.4, 0.02))  # a board at 0.31
    thing = world.box((0.0, 0.1, 0.34), (0.1, 0.06, 0.06), 0.4)
    assert_stands_at(report_of(world, thing), 0.31)


def test_the_table_and_not_the_wall_behind():
    world = World(eye=(0.0, -0.8, 0.35), target=(0.0, 0.0, 0.1))
    world.floor(0.0, y=(-0.6, 0.25))
    world.box((0.0, 0.3, 0.0), (4.0, 0.1, 4.0))  # a wall that fills half of the image
    thing = world.box((0.0, 0.18, 0.05), (0.1, 0.06, 0.1))
    assert_stands_at(report_of(world, thing), 0.0)
    assert_stands_at(report_of(world, thing, up=world.up), 0.0)


def test_a_thing_before_a_wall_alone_has_no_support_but_an_upright_box_where_gravity_is_known():
    world = World(eye=(0.0, -0.8, 0.1), target=(0.0, 0.0, 0.1))
    world.box((0.0, 1.0, 0.0), (9.0, 0.1, 9.0))
    thing = world.box((0.0, 0.0, 0.1), (0.1, 0.06, 0.2), 0.3)
    unknown = report_of(world, thing)
    assert unknown.support is None and unknown.grasp is None and np.isnan(unknown.height)
    assert any(warning.startswith("no_support: ") for warning in unknown.warnings)
    known = report_of(world, thing, up=world.up)
    assert known.support is None and known.grasp is None
    assert known.box_rotation[2, 2] == pytest.approx(1)
    assert known.extents[2] == pytest.approx(0.2, abs=0.004)


def test_a_plane_that_the_camera_looks_straight_at_is_told_by_gravity_alone():
    world = World(eye=(0.0, -0.01, 0.8))
    world.floor()
    thing = world.box((0.0, 0.0, 0.03), (0.15, 0.07, 0.06), 0.3)
    unknown = report_of(world, thing)
    assert unknown.support is None
    assert any(warning.startswith("no_support: the camera looks straight at") for warning in unknown.warnings)
    known = report_of(world, thing, up=world.up)
    assert_stands_at(known, 0.0)
    np.testing.assert_allclose(known.extents, (0.15, 0.07, 0.06), atol=0.006)


def test_nothing_around_it_is_no_support():
    world = World()
    thing = world.ball((0, 0, 0), 0.05)
    report = report_of(world, thing)
    assert report.support is None and report.extents[0] == pytest.approx(0.1, abs=0.01)


def test_what_lies_on_another_thing_keeps_its_own_bottom():
    world = World(eye=(0.0, -0.55, 0.45), target=(0.0, 0.0, 0.05))
    world.floor()
    world.cylinder((0.0, 0.0, 0.0), 0.035, 0.1)  # too small to be found as a plane
    thing = world.box((0.0, 0.0, 0.115), (0.12, 0.08, 0.03), 0.2)
    report = report_of(world, thing)
    assert report.box_center[2] - report.extents[2] / 2 == pytest.approx(0.1, abs=0.012)
    assert report.box_center[2] + report.extents[2] / 2 == pytest.approx(0.13, abs=0.004)
    assert any(warning.startswith("off_support: ") for warning in report.warnings)


def test_a_thing_on_a_book_stands_on_the_book():
    world = World(eye=(0.0, -0.55, 0.45))
    world.floor()
    world.box((0.0, 0.0, 0.03), (0.28, 0.2, 0.06))
    thing = world.cylinder((0.03, 0.0, 0.06), 0.03, 0.07)
    assert_stands_at(report_of(world, thing), 0.06)


def test_a_lower_end_behind_something_else_reaches_the_table():
    world = World(eye=(0.0, -0.7, 0.35), target=(0.0, 0.0, 0.1))
    world.floor()
    thing = world.box((0.0, 0.05, 0.11), (0.07, 0.07, 0.22))
    world.box((0.0, -0.06, 0.06), (0.3, 0.03, 0.12))
    report = report_of(world, thing)
    assert_stands_at(report, 0.0)
    assert any(warning.startswith("occluded: ") for warning in report.warnings)


@pytest.mark.parametrize("elevation", [0.3, 0.7, 1.1, 1.4])
def test_a_ball_reaches_down_to_the_table_that_it_hides(elevation):
    world = World(eye=tuple(0.7 * np.array([0.0, -np.cos(elevation), np.sin(elevation)])))
    world.floor()
    thing = world.ball((0.0, 0.0, 0.05), 0.05)
    report = report_of(world, thing)
    assert_stands_at(report, 0.0)
    np.testing.assert_allclose(report.extents, [0.1] * 3, atol=0.008)
    np.testing.assert_allclose(report.box_center, [0, 0, 0.05], atol=0.006)
    assert report.completed


def test_a_sheet_of_paper_is_not_taken_for_its_table():
    world = World()
    world.floor()
    thing = world.box((0.0, 0.0, 0.0), (0.21, 0.15, 0.0004))
    report = report_of(world, thing)
    assert report.extents[0] == pytest.approx(0.21, abs=0.006) and report.extents[2] < 0.004
    assert any(warning.startswith("too_low: ") for warning in report.warnings)


def test_each_target_has_its_own_support():
    world = World(eye=(0.0, -0.7, 0.6))
    world.floor()
    world.box((0.2, 0.0, 0.04), (0.25, 0.25, 0.08))
    low, high = world.box((-0.15, 0.0, 0.03), (0.08, 0.06, 0.06)), world.box((0.2, 0.0, 0.11), (0.08, 0.06, 0.06))
    depth, owner = world.render()
    clouds = target_clouds([owner == low, owner == high], depth, grey(VGA), VGA, pose=world.pose)
    assert_stands_at(clouds.reports[0], 0.0)
    assert_stands_at(clouds.reports[1], 0.08)
    assert clouds.support is not None
    assert np.array_equal(np.unique(clouds.point_targets), [0, 1])
    for number, report in enumerate(clouds.reports):
        np.testing.assert_array_equal(clouds.points[clouds.point_targets == number], report.points)
    # The rest of the scene is in it, the targets are not.
    assert clouds.scene_points[:, 2].max() < 0.09 and len(clouds.scene_points) > 500


def test_order_of_the_targets_does_not_matter():
    world = World(eye=(0.0, -0.7, 0.6))
    world.floor()
    things = [world.box((x, 0.0, 0.03), (0.08, 0.05, 0.06), x) for x in (-0.2, 0.0, 0.2)]
    depth, owner = world.render()
    masks = [owner == thing for thing in things]
    first = target_clouds(masks, depth, grey(VGA), VGA, with_scene=False)
    turned = target_clouds(masks[::-1], depth, grey(VGA), VGA, with_scene=False)
    for here, there in zip(first.reports, turned.reports[::-1], strict=True):
        np.testing.assert_array_equal(here.points, there.points)
        np.testing.assert_allclose(here.extents, there.extents, atol=1e-9)
    assert first.scene_points is None and first.scene_colors is None


def test_targets_without_a_cloud_say_why_and_leave_the_others():
    world = World()
    world.floor()
    thing = world.box((0.0, 0.0, 0.03), (0.1, 0.05, 0.06))
    depth, owner = world.render()
    mask = owner == thing
    clouds = target_clouds([np.zeros_like(mask), mask], depth, grey(VGA), VGA)
    assert clouds.reports[0] is None and "empty" in clouds.reasons[0]
    assert clouds.reports[1] is not None and clouds.reasons[1] == ""
    none = target_clouds([], depth, grey(VGA), VGA)
    assert none.reports == () and none.support is None and len(none.scene_points) and len(none.points) == 0


def test_the_scene_is_cropped_to_range_and_workspace():
    world = World(eye=(0.0, -0.7, 0.6))
    world.floor()
    thing = world.box((0.0, 0.0, 0.03), (0.08, 0.05, 0.06))
    depth, owner = world.render()
    options = CloudOptions(scene_min_x=-0.2, scene_max_x=0.3, scene_min_y=-0.25, scene_max_y=0.15, scene_min_z=-0.01)
    arguments = owner == thing, depth, grey(VGA), VGA
    points = target_cloud(*arguments, options, world.pose).scene_points
    assert len(points) > 100
    assert (points.min(axis=0) >= [-0.2, -0.25, -0.011]).all() and (points[:, :2].max(axis=0) <= [0.301, 0.151]).all()
    near = target_cloud(*arguments, CloudOptions(scene_max_range=0.9)).scene_points
    assert len(near) > 0 and near[:, 2].max() < 0.901
    whole = target_cloud(*arguments).scene_points
    assert len(whole) > len(near) and whole[:, 2].max() > 1.2
