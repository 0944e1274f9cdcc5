"""Physics of a grasp: what must be lifted is lifted, what must fail fails, and for the right reason."""

import math
from dataclasses import replace

import numpy as np
import pytest

from lisa_ros.evaluation.grasp.bodies import MASS
from lisa_ros.evaluation.grasp.film import film_strip, stacked
from lisa_ros.evaluation.grasp.gripper import Gripper, plan
from lisa_ros.evaluation.grasp.proposals import box_grasp, true_grasp
from lisa_ros.simulator import SceneOptions, generate_scene
from lisa_ros.simulator.layout import Placed
from lisa_ros.simulator.layout_sampling import sample_layout
from lisa_ros.simulator.parts import ball, box

mujoco = pytest.importorskip("mujoco")

from lisa_ros.evaluation.grasp.world import GraspWorld  # noqa: E402  needs mujoco

pytestmark = pytest.mark.unit

RED = (0.6, 0.1, 0.1)
ROOM = sample_layout(0, SceneOptions())


def placed(category, parts, x=0.0, y=0.0, yaw=0.0):
    return Placed(category, "red", tuple(parts), np.array([part.corners() for part in parts]), x, y, yaw)


def block(width, x=0.0, y=0.0, yaw=0.0, length=0.08, height=0.05):
    """A box `width` m wide along its y."""
    return placed("book", [box((0.0, 0.0, height / 2), (length / 2, width / 2, height / 2), RED)], x, y, yaw)


def world_of(*objects, **gripper):
    return GraspWorld(replace(ROOM, objects=objects), Gripper(**gripper))


def take(world, item, index=0, shift=(0.0, 0.0, 0.0), film=False):
    """Takes object `index` by the true grasp of `item`, moved by `shift` along the hand's axes."""
    grasp, _ = true_grasp(item, world.gripper)
    approach = plan(grasp, world.gripper)
    approach.pose[:3, 3] += approach.pose[:3, :3] @ shift
    return world.execute(index, approach, film)


@pytest.mark.parametrize("yaw", [0.0, 0.7, -2.0])
def test_a_block_that_fits_is_lifted(yaw):
    item = block(0.04, 0.1, -0.2, yaw)
    world = world_of(item)
    outcome = take(world, item)
    assert outcome.success and outcome.cause == "" and world.unsettled == frozenset()
    assert outcome.rise == pytest.approx(0.10, abs=0.005)
    assert outcome.force < 2.0  # nothing was touched on the way down


def test_a_block_lies_between_the_pads_as_wide_as_it_is():
    item = block(0.04)
    world = world_of(item)
    take(world, item)
    gap = 2e3 * world.data.joint("left").qpos[0]
    assert gap == pytest.approx(40.0, abs=1.5)
    assert world.data.joint("right").qpos[0] == pytest.approx(world.data.joint("left").qpos[0], abs=1e-3)


def test_a_grasp_5_cm_beside_misses():
    item = block(0.02)
    outcome = take(world_of(item), item, shift=(0.0, 0.05, 0.0))
    assert not outcome.success and outcome.cause == "missed" and outcome.rise < 0.005


def test_closing_on_nothing_misses():
    item = block(0.03)
    outcome = take(world_of(item), item, shift=(0.3, 0.2, 0.0))
    assert not outcome.success and outcome.cause == "missed" and abs(outcome.rise) < 1e-3


def test_an_object_wider_than_the_gripper_stops_the_hand():
    item = block(0.11, length=0.15)
    world = world_of(item)
    _, width = true_grasp(item, world.gripper)
    assert width == pytest.approx(0.11, abs=1e-3)
    outcome = take(world, item)
    assert not outcome.success and outcome.cause == "collision" and outcome.force > 20.0


def test_a_small_error_is_forgiven_and_a_larger_one_is_not():
    item = block(0.04)
    world = world_of(item)
    assert take(world, item, shift=(0.0, 0.015, 0.0)).success
    assert take(world, item, shift=(0.0, 0.026, 0.0)).cause == "collision"  # the finger comes down on it


def test_without_friction_it_slips():
    item = placed("ball", [ball((0.0, 0.0, 0.03), (0.03, 0.03, 0.03), RED)])
    assert take(world_of(item), item).success
    outcome = take(world_of(item, friction=0.02), item, shift=(0.0, 0.0, -0.015))
    assert not outcome.success and outcome.cause == "slipped"


def test_the_neighbour_is_the_wrong_object():
    items = block(0.03), block(0.03, x=0.25)
    world = world_of(*items)
    outcome = take(world, items[1], index=0)
    assert not outcome.success and outcome.cause == "wrong object" and outcome.rise < 0.005


def test_a_neighbour_in_the_way_stops_the_hand():
    items = block(0.04), block(0.04, y=0.055)
    assert take(world_of(*items), items[0]).cause == "collision"


def test_what_falls_over_is_told():
    post, beam = box((0.0, 0.0, 0.05), (0.01, 0.01, 0.05), RED), box((0.08, 0.0, 0.11), (0.08, 0.01, 0.01), RED)
    assert world_of(block(0.03, x=0.3), placed("candle", [post, beam])).unsettled == frozenset({1})


def test_attempts_do_not_depend_on_what_was_tried_before():
    items = block(0.04), block(0.03, x=0.2, yaw=0.4)
    world = world_of(*items)
    first = take(world, items[0])
    take(world, items[1], index=1)
    take(world, items[1], index=1, shift=(0.0, 0.02, 0.0))
    again = take(world, items[0])
    assert (first.rise, first.force) == (again.rise, again.force)
    assert take(world_of(*items), items[0]).rise == first.rise


def test_shapes_are_those_that_the_camera_sees():
    """Rays from the camera meet the bodies where the ray-caster has the objects."""
    seen = set()
    for seed in range(40, 58):
        scene, layout = generate_scene(seed, 96, 128), sample_layout(seed, SceneOptions())
        world = GraspWorld(layout)
        mujoco.mj_resetData(world.model, world.data)  # where the scene has them, before they settle
        mujoco.mj_forward(world.model, world.data)
        k, pose = scene.intrinsics, scene.camera_pose
        for number, item in enumerate(layout.objects, 1):
            rows, columns = np.nonzero(scene.mask(number))
            rows, columns = rows[::7], columns[::7]
            if len(rows) < 8:
                continue
            rays = np.stack([(columns - k[0, 2]) / k[0, 0], (rows - k[1, 2]) / k[1, 1], np.ones(len(rows))], 1)
            errors = []
            for ray, depth in zip(rays @ pose[:3, :3].T, scene.depth[rows, columns], strict=True):
                geom = np.zeros(1, np.int32)
                distance = mujoco.mj_ray(world.model, world.data, pose[:3, 3], ray, None, 1, -1, geom)
                errors.append(abs(distance - depth) * np.linalg.norm(ray) if distance >= 0 else 1.0)
            assert np.median(errors) < 0.003, (seed, item.category)
            assert np.mean(np.array(errors) < 0.006) > 0.8, (seed, item.category)
            seen.add(item.category)
    assert len(seen) == len(MASS)


def test_bodies_weigh_what_the_table_says_and_steel_is_heavy():
    layout = next(
        layout
        for layout in (sample_layout(seed, SceneOptions()) for seed in range(100))
        if any(item.category == "hammer" for item in layout.objects)
    )
    world = GraspWorld(layout)
    for item, body in zip(layout.objects, world.bodies, strict=True):
        assert world.model.body_mass[body] == pytest.approx(MASS[item.category])
        if item.category == "hammer":  # the head is at +x
            along = (world.data.xipos[body] - (item.x, item.y, 0.0)) @ (math.cos(item.yaw), math.sin(item.yaw), 0.0)
            assert along > 0.05


def test_a_film_shows_the_stages_and_the_gripper():
    item = block(0.04, yaw=0.3)
    world = world_of(item)
    outcome = take(world, item, film=True)
    assert [name for name, _ in outcome.frames] == ["approach", "close", "lift", "hold"]
    strip = film_strip(world.layout, 0, outcome.frames, world.gripper, "a block")
    assert strip.dtype == np.uint8 and strip.shape[1] == 4 * 320
    red = (strip[..., 0].astype(int) - strip[..., 1] > 40) & (strip[..., 1] < 90)
    middles = [np.nonzero(red[:, 320 * k : 320 * (k + 1)])[0].mean() for k in range(4)]
    assert middles[3] < middles[1] - 20 and abs(middles[3] - middles[2]) < 10  # it has gone up, and stays there
    assert stacked([strip, strip[:, :640]]).shape == (2 * (strip.shape[0] + 8), strip.shape[1], 3)
    assert take(world, item).frames == ()


def test_a_box_grasp_of_a_tilted_box_is_level():
    grasp = box_grasp(np.array([0.1, 0.0, 0.03]), np.eye(3)[:, [2, 0, 1]], np.array([0.06, 0.1, 0.04]))
    assert grasp.width == 0.04 and abs(grasp.rotation[1, 1]) == 1.0 and grasp.top[2] == pytest.approx(0.06)
