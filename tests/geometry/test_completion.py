"""Hidden backs: what is added by symmetry is the object's, and what cannot be turned is not turned."""

import numpy as np
import pytest
from exact_world import VGA, World, grey

from lisa_ros.datasets.tabletop import TabletopDataset
from lisa_ros.evaluation.geometry.reference_boxes import true_boxes
from lisa_ros.geometry import CameraModel, target_cloud
from lisa_ros.simulator import generate_scene
from lisa_ros.simulator.depth_noise import frame_rng, noisy_depth

pytestmark = pytest.mark.unit

RADIUS, HANDLE, HEIGHT = 0.045, 0.035, 0.10


@pytest.mark.parametrize("noise", [0.0, 0.002])
@pytest.mark.parametrize("degrees", [-150, -90, -45, 0, 45, 90, 180])
def test_a_mug_has_one_handle(degrees, noise):
    yaw = np.radians(degrees)  # -90: towards the camera
    world = World(VGA, (0.0, -0.6, 0.5), (0.0, 0.0, 0.05))
    world.floor()
    body = world.cylinder((0.0, 0.0, 0.0), RADIUS, HEIGHT)
    out = RADIUS + HANDLE / 2 - 0.005
    center = np.array([out * np.cos(yaw), out * np.sin(yaw), HEIGHT / 2])
    world.box(center, (HANDLE + 0.01, 0.012, 0.06), yaw)
    depth, owner = world.render()
    depth = depth + np.random.default_rng(0).normal(0, noise, depth.shape).astype(np.float32) * depth**2
    report = target_cloud(owner >= body, depth, grey(VGA), VGA, pose=world.pose, with_scene=False)
    assert report.completed
    width, length = np.sort(report.extents[np.abs(report.box_rotation[2]) < 0.5])
    assert width == pytest.approx(2 * RADIUS, abs=0.010), "the body's diameter, whatever side the handle is on"
    assert length < 2 * RADIUS + HANDLE + 0.010, "the handle is counted once"
    assert report.extents[np.abs(report.box_rotation[2]).argmax()] == pytest.approx(HEIGHT, abs=0.006)


@pytest.mark.parametrize(("number", "item_id"), [(20, 7), (43, 4)])
def test_a_carrot_is_not_made_wide_for_the_sake_of_symmetry(number, item_id):
    scene = generate_scene(TabletopDataset("heldout", number + 1).scene(number).seed, 480, 640)
    assert next(one for one in scene.objects if one.id == item_id).category == "carrot"
    depth = noisy_depth(scene.depth, scene.intrinsics, "kinect", frame_rng(scene.seed, 0.0))
    camera = CameraModel.from_matrix(scene.intrinsics, 640, 480)
    report = target_cloud(scene.mask(item_id), depth, scene.image, camera, pose=scene.camera_pose, with_scene=False)
    level = np.abs(report.box_rotation[2]) < 0.5
    truth = np.sort(true_boxes(scene)[item_id].extents[:2])
    np.testing.assert_allclose(np.sort(report.extents[level]), truth, atol=0.012)
