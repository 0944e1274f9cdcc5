"""Clouds of simulated scenes against the true boxes of their objects, with depth as cameras send it."""

import numpy as np
import pytest

from lisa_ros.geometry import CameraModel, depth_to_metres, target_cloud
from lisa_ros.simulator import generate_scene

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module", params=[(480, 640), (192, 256)], ids=["vga", "small"])
def located(request):
    """(scene, camera, object, report) of all objects that are seen whole; reports in world coordinates."""
    found = []
    for seed in range(6):
        scene = generate_scene(seed, *request.param)
        height, width = scene.depth.shape
        camera = CameraModel.from_matrix(scene.intrinsics, width, height)
        depth = depth_to_metres(np.rint(scene.depth * 1000).astype(np.uint16), "16UC1")
        for item in scene.objects:
            mask = scene.mask(item.id)
            if item.visible > 0.98 and item.pixels > 200:
                report = target_cloud(mask, depth, scene.image, camera, pose=scene.camera_pose)
                if not report.touches_border:
                    found.append((scene, camera, item, report))
    assert len(found) >= 10
    return found


def in_object(item, points):
    """World points in the object's own axes, from its centre."""
    cos, sin = np.cos(item.yaw), np.sin(item.yaw)
    return (points - item.centre) @ np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])


def test_points_lie_on_the_object(located):
    for _, _, item, report in located:
        outside = np.abs(in_object(item, report.points)) - item.extents / 2
        assert outside.max() < 0.008, item
        assert (np.abs(in_object(item, report.centroid)) <= item.extents / 2 + 0.005).all()


def test_boxes_have_the_objects_place_and_size(located):
    # One view does not show the far side, so a box may be smaller than the object, and hardly larger.
    diagonals = [np.linalg.norm(item.extents) for _, _, item, _ in located]
    shares = [np.linalg.norm(report.extents) / d for (*_, report), d in zip(located, diagonals, strict=True)]
    assert max(shares) < 1.1 and np.median(shares) > 0.75 and min(shares) > 0.4
    offsets = [np.linalg.norm(report.box_center - item.centre) for _, _, item, report in located]
    assert np.median(offsets) < 0.03
    assert all(offset < 0.35 * d for offset, d in zip(offsets, diagonals, strict=True))


def test_nothing_of_the_scene_cloud_hides_the_object(located):
    for scene, camera, item, report in located:
        optical = (report.scene_points - scene.camera_pose[:3, 3]) @ scene.camera_pose[:3, :3]
        columns, rows = np.rint(camera.project(optical)).astype(int).T
        inside = (rows >= 0) & (rows < camera.height) & (columns >= 0) & (columns < camera.width)
        assert not scene.mask(item.id)[rows[inside], columns[inside]].any(), item
