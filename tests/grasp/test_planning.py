"""How a grasp becomes a motion, what fits, and how shares are reported."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lisa_ros.evaluation.grasp.attempts import GraspTask, load_scene, scene_tasks
from lisa_ros.evaluation.grasp.bodies import convex_pieces, surface_points
from lisa_ros.evaluation.grasp.gripper import Gripper, plan
from lisa_ros.evaluation.grasp.proposals import box_grasp, true_grasp
from lisa_ros.geometry.report import TopGrasp
from lisa_ros.simulator import SceneOptions
from lisa_ros.simulator.layout_sampling import sample_layout

pytestmark = pytest.mark.unit

GRIPPER = Gripper()
DOWN = np.diag([1.0, -1.0, -1.0])


def rotations():
    def turn(numbers):
        q = np.array(numbers)
        w, x, y, z = q / np.linalg.norm(q)
        return np.array([
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ])  # fmt: skip

    numbers = st.tuples(*[st.floats(-1, 1)] * 4)
    return numbers.filter(lambda q: np.linalg.norm(q) > 0.1).map(turn)


@given(axes=rotations(), extents=st.tuples(*[st.floats(0.005, 0.3)] * 3))
def test_a_box_grasp_comes_straight_from_above_across_a_level_axis(axes, extents):
    extents = np.array(extents)
    grasp = box_grasp(np.array([0.2, -0.1, 0.1]), axes, extents)
    assert np.allclose(grasp.rotation @ grasp.rotation.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(grasp.rotation) == pytest.approx(1.0)
    assert np.allclose(grasp.rotation[:, 2], (0.0, 0.0, -1.0)) and grasp.rotation[2, 1] == 0.0
    steepest = np.argmax(np.abs(axes[2]))
    level = np.delete(np.arange(3), steepest)
    assert grasp.width in extents[level] or np.isclose(np.abs(axes[2]), np.abs(axes[2]).max()).sum() > 1
    corners = np.array([[i & 1, i >> 1 & 1, i >> 2] for i in range(8)]) - 0.5
    assert grasp.top[2] == pytest.approx(0.1 + ((corners * extents) @ axes.T)[:, 2].max())


@given(z=st.floats(-0.02, 0.4), top=st.floats(0.001, 0.4), width=st.floats(0.0, 0.3))
def test_hands_keep_clear_of_the_table_and_of_the_object_under_the_palm(z, top, width):
    top = max(top, z)
    grasp = TopGrasp(np.array([0.1, 0.2, z]), DOWN, width, np.array([0.1, 0.2, top]))
    approach = plan(grasp, GRIPPER)
    tips = approach.pose[2, 3]
    assert tips >= GRIPPER.table_gap - 1e-9
    assert tips + GRIPPER.finger_length >= top + GRIPPER.palm_gap - 1e-9
    assert np.allclose(approach.pose[:2, 3], (0.1, 0.2)) and (approach.pose[:3, :3] == DOWN).all()
    assert approach.opening == min(GRIPPER.opening, width + 2 * GRIPPER.preshape)
    if GRIPPER.table_gap <= z and top - z <= GRIPPER.finger_length - GRIPPER.palm_gap:
        assert tips == pytest.approx(z)


def test_what_fits_is_decided_between_the_pads():
    widths = {}
    for seed in range(24):
        for item in sample_layout(seed, SceneOptions()).objects:
            grasp, width = true_grasp(item, GRIPPER)
            assert 0.0 < width <= grasp.width + 1e-9
            widths.setdefault(item.category, []).append((width, grasp.width))
    narrow = {name: np.median([w for w, _ in pairs]) for name, pairs in widths.items()}
    assert narrow["hammer"] < 0.035 < np.median([b for _, b in widths["hammer"]])  # its handle, not its head
    assert narrow["bottle"] < 0.045 and narrow["fork"] < 0.025
    assert min(narrow[name] for name in ("plate", "bowl", "book")) > GRIPPER.opening


def test_pieces_reach_as_far_as_the_surface():
    for seed in range(5):
        for item in sample_layout(seed, SceneOptions()).objects:
            points = surface_points(item.parts)
            assert (points.min(0) > item.corners.min((0, 1)) - 1e-9).all()
            assert (points.max(0) < item.corners.max((0, 1)) + 1e-9).all()
            for piece in convex_pieces(item.parts):
                if piece.kind == "hull":
                    assert (piece.vertices.min(0) > points.min(0) - 2e-3).all(), item.category
                    assert (piece.vertices.max(0) < points.max(0) + 2e-3).all(), item.category
                else:
                    assert min(piece.size) > 0.0


def test_tasks_mean_one_object_and_stay_the_same():
    scene, layout = load_scene(3)
    tasks = scene_tasks(scene)
    assert tasks == scene_tasks(scene) and len(layout.objects) == len(scene.objects)
    assert len({task.index for task in tasks}) == len(tasks) > 2
    assert all(isinstance(task, GraspTask) and scene.objects[task.index].queryable for task in tasks)
    for item, placed in zip(scene.objects, layout.objects, strict=True):
        assert item.category == placed.category and math.isclose(item.yaw, placed.yaw)
