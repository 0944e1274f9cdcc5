"""What a gripper is told: grasps from above, uncertainties, what was seen, warnings."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from exact_world import VGA, World, grey
from hypothesis import given, settings
from hypothesis import strategies as st

from lisa_ros.geometry import CloudOptions, target_cloud

pytestmark = pytest.mark.unit


def report_of(build, eye=(0.0, -0.6, 0.5), options=None, noise=0.0, camera=VGA):
    world = World(camera, eye)
    world.floor()
    thing = build(world)
    depth, owner = world.render()
    depth = depth + np.random.default_rng(0).normal(0, noise, depth.shape).astype(np.float32) * depth**2
    return target_cloud(owner == thing, depth, grey(camera), camera, options, world.pose, False)


def assert_from_above(grasp):
    np.testing.assert_allclose(grasp.rotation.T @ grasp.rotation, np.eye(3), atol=1e-9)
    assert np.linalg.det(grasp.rotation) == pytest.approx(1)
    np.testing.assert_allclose(grasp.rotation[:, 2], [0, 0, -1], atol=0.02)
    assert (grasp.top - grasp.position) @ -grasp.rotation[:, 2] > 0


@settings(max_examples=6)
@given(st.floats(-3.1, 3.1))
def test_fingers_close_on_the_shorter_side_of_a_box(yaw):
    report = report_of(lambda world: world.box((0.0, 0.0, 0.03), (0.15, 0.05, 0.06), yaw), camera=VGA.scaled(400, 300))
    grasp = report.grasp
    assert_from_above(grasp)
    across = np.array([-np.sin(yaw), np.cos(yaw), 0])
    assert abs(grasp.rotation[:, 1] @ across) > np.cos(np.radians(5))
    assert grasp.width == pytest.approx(0.05, abs=0.008)
    assert abs(grasp.position @ across) < 0.006
    assert 0.003 <= grasp.position[2] <= 0.05 and grasp.top[2] == pytest.approx(0.06, abs=0.004)


@pytest.mark.parametrize("eye", [(0.0, -0.6, 0.5), (0.4, -0.3, 0.6), (0.0, -0.75, 0.3)])
def test_a_bottle_is_held_in_the_middle_of_its_neck(eye):
    def build(world):
        body = world.cylinder((0.0, 0.0, 0.0), 0.045, 0.12)
        world.cylinder((0.0, 0.0, 0.12), 0.015, 0.08)
        return body

    world = World(VGA, eye, (0.0, 0.0, 0.08))
    world.floor()
    body = build(world)
    depth, owner = world.render()
    report = target_cloud(owner >= body, depth, grey(VGA), VGA, pose=world.pose, with_scene=False)
    assert_from_above(report.grasp)
    np.testing.assert_allclose(report.grasp.position[:2], 0, atol=0.006)
    assert report.grasp.width == pytest.approx(0.03, abs=0.008)
    assert report.grasp.position[2] > 0.13 and report.grasp.top[2] == pytest.approx(0.2, abs=0.005)
    assert report.extents[2] == pytest.approx(0.2, abs=0.005) and report.extents[0] == pytest.approx(0.09, abs=0.01)


@pytest.mark.parametrize("end", [-1, 1])
@pytest.mark.parametrize(("head", "shift"), [((0.03, 0.10, 0.05), 0.04), ((0.015, 0.02, 0.02), 0.0)])
def test_a_heavy_end_is_held_near_and_a_light_one_does_not_matter(end, head, shift):
    world = World(VGA, (0.0, -0.6, 0.5))
    world.floor()
    first = world.box((0.0, 0.0, 0.01), (0.25, 0.03, 0.02), 0.0)
    world.box((end * 0.125, 0.0, head[2] / 2), head, 0.0)
    depth, owner = world.render()
    report = target_cloud(owner >= first, depth, grey(VGA), VGA, pose=world.pose, with_scene=False)
    assert_from_above(report.grasp)
    assert report.grasp.width == pytest.approx(0.03, abs=0.008), "at the handle, also beside a wide head"
    away = report.grasp.position[0] * end
    assert away > shift if shift else abs(report.grasp.position[0]) < 0.02


def test_a_ball_is_held_where_its_sides_are_steep():
    grasp = report_of(lambda world: world.ball((0.0, 0.0, 0.035), 0.035)).grasp
    assert grasp.position[2] - 0.035 < 0.035 * np.sin(np.radians(20))  # within the cone of friction
    np.testing.assert_allclose(grasp.position[:2], 0, atol=0.005)
    assert grasp.width == pytest.approx(0.07, abs=0.008)


def test_fingertips_stay_above_the_table():
    grasp = report_of(lambda world: world.box((0.0, 0.0, 0.005), (0.16, 0.04, 0.01))).grasp
    assert 0.0025 <= grasp.position[2] < 0.01


def test_what_is_wider_than_the_gripper_is_said():
    def build(world):
        return world.box((0.0, 0.0, 0.03), (0.15, 0.1, 0.06))

    keys = {warning.split(": ")[0] for warning in report_of(build).warnings}
    assert keys == {"too_wide"}
    assert report_of(build, options=CloudOptions(gripper_opening=0.12)).warnings == ()


def test_a_target_at_the_border_says_so():
    report = report_of(lambda world: world.box((0.4, 0.0, 0.03), (0.3, 0.05, 0.06)))
    assert report.touches_border and report.warnings[0].startswith("touches_border: ")


def test_little_depth_is_said():
    world = World()
    world.floor()
    thing = world.box((0.0, 0.0, 0.03), (0.15, 0.05, 0.06))
    depth, owner = world.render()
    depth[np.random.default_rng(0).random(depth.shape) < 0.7] = 0
    report = target_cloud(owner == thing, depth, grey(VGA), VGA, with_scene=False)
    assert any(warning.startswith("low_depth: ") for warning in report.warnings)


def test_more_is_seen_of_what_is_seen_from_a_corner():
    def build(world):
        return world.box((0.0, 0.0, 0.05), (0.1, 0.1, 0.1), 0.0)

    above = report_of(build, eye=(0.0, -0.15, 0.8)).visible_share
    front = report_of(build, eye=(0.0, -0.6, 0.4)).visible_share
    corner = report_of(build, eye=(-0.45, -0.45, 0.4)).visible_share
    assert 0.12 < above < front < corner < 0.55


def test_uncertainty_grows_with_noise_distance_and_what_is_hidden():
    def build(world):
        return world.box((0.0, 0.0, 0.05), (0.1, 0.06, 0.1))

    near, noisy = report_of(build), report_of(build, noise=0.004)
    far = report_of(build, eye=(0.0, -1.2, 1.0))
    for worse in (noisy, far):
        assert (worse.center_stddev > near.center_stddev * 0.99).all()
        assert worse.extents_stddev.sum() > near.extents_stddev.sum()
    for report in (near, noisy, far):
        assert report.center_stddev.shape == report.extents_stddev.shape == (3,)
        assert (report.center_stddev > 0).all() and np.isfinite(report.extents_stddev).all()


def test_pose_moves_the_report_and_changes_nothing():
    world = World()
    world.floor()
    thing = world.cylinder((0.0, 0.0, 0.0), 0.04, 0.1)
    depth, owner = world.render()
    here = target_cloud(owner == thing, depth, grey(VGA), VGA, with_scene=False)
    there = target_cloud(owner == thing, depth, grey(VGA), VGA, pose=world.pose, with_scene=False)
    moved = here.moved(world.pose)
    for one, other in ((moved, there), (moved.grasp, there.grasp), (moved.support, there.support)):
        for name, value in vars(one).items():
            if isinstance(value, np.ndarray | float):
                np.testing.assert_allclose(value, getattr(other, name), atol=1e-6)
    assert moved.warnings == there.warnings and moved.completed == there.completed


def test_after_the_warm_up_nothing_is_compiled():
    """Of a fresh process: how many kernels a first cloud adds to those of the warm-up."""
    code = """
import numpy as np
from lisa_ros.geometry import surfaces, symmetry, voxels
from lisa_ros.geometry.warming import warm_up
def kernels():
    found = [one for module in (surfaces, symmetry, voxels) for one in vars(module).values()]
    return {one.__name__: len(one.signatures) for one in found if getattr(one, "signatures", None)}
warm_up()
before = kernels()
import sys
sys.path.insert(0, sys.argv[1])
import test_grasps
test_grasps.report_of(lambda world: world.box((0.0, 0.0, 0.03), (0.15, 0.05, 0.06), 0.4), noise=0.004)
test_grasps.report_of(lambda world: world.ball((0.0, 0.0, 0.04), 0.04))
assert kernels() == before, (before, kernels())
assert "open3d" not in sys.modules and "torch" not in sys.modules
print(len(before))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parent)],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 8
