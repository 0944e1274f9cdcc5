"""The programs in examples/ as a user starts them, against the real node with the packaged model."""

import importlib.util
import os
import re
import sys
import time
import uuid
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_srvs.srv import Trigger
from visualization_msgs.msg import Marker

from lisa_ros import graph
from lisa_ros.client import TargetLocation
from lisa_ros.geometry.poses import pose_matrix
from lisa_ros.launcher import RunningGraph
from lisa_ros.simulator import scene_at

EXAMPLES = Path(__file__).parents[2] / "examples"
SEED, HEIGHT, WIDTH = 1, 240, 320  # apple, bowl, banana, candle, ball, scissors
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def load(name):
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def lisa():
    """Namespace of a node with the packaged model, before which stands a simulated camera."""
    namespace, lines = f"/e{uuid.uuid4().hex[:6]}", []
    perception, camera = graph.processes({"camera": "simulator", "namespace": namespace})
    shown = {"seed": SEED, "width": WIDTH, "height": HEIGHT, "rate": 4.0, "motion": "static"}
    camera = replace(camera, parameters={**camera.parameters, **shown})
    with RunningGraph([perception, camera], lambda name, line: lines.append(line)):
        end = time.monotonic() + 100
        while not any("active, subscribed" in line for line in lines):
            assert time.monotonic() < end, "\n".join(lines)
            time.sleep(0.1)
        yield namespace


@pytest.fixture(scope="module")
def scene():
    return scene_at(SEED, 0.0, "static", HEIGHT, WIDTH)


@pytest.fixture
def run(start_process):
    """run("ask_once", ...) -> Process of an example."""
    return lambda name, *arguments, **environment: start_process(
        [sys.executable, EXAMPLES / f"{name}.py", *arguments], **{**os.environ, **environment}
    )


def banana(scene):
    return next(item for item in scene.objects if item.category == "banana")


@pytest.mark.ros
@pytest.mark.timeout(200)
def test_ask_once(lisa, scene, run, tmp_path):
    process = run("ask_once", "the banana", "--name", lisa, "--mask", tmp_path / "mask.png")
    assert process.wait(120) == 0, process.output
    assert "OK" in process.lines and re.search(
        r"banana.*: segmented, \d+ pixels, box at x .* m in camera", process.output
    )
    mask, truth = np.asarray(Image.open(tmp_path / "mask.png")) > 0, scene.mask(banana(scene).id)
    assert (mask & truth).sum() / (mask | truth).sum() > 0.6
    absent = run("ask_once", "the hammer", "--name", lisa)
    assert absent.wait(60) == 1 and "NO_TARGET" in absent.output
    nobody = run("ask_once", "the banana", "--name", "/nobody")
    assert nobody.wait(60) == 2 and "ServerUnavailableError: waited" in nobody.output
    assert f"there is {lisa}/segment" in nobody.output


@pytest.mark.ros
@pytest.mark.timeout(200)
def test_ask_from_your_node(lisa, run, ros_context):
    arguments = ("--ros-args", "-r", f"__ns:={lisa}", "-p", f"perception:={lisa}", "-p", "query:=the banana")
    process = run("ask_from_your_node", *arguments)
    node = Node("caller", context=ros_context)
    executor = SingleThreadedExecutor(context=ros_context)
    executor.add_node(node)
    client = node.create_client(Trigger, f"{lisa}/finder/find")
    assert client.wait_for_service(60), process.output
    for query, success, words in (("the banana", True, "OK:"), ("the hammer", False, "NO_TARGET:")):
        set_query(node, executor, f"{lisa}/finder", query)
        future = client.call_async(Trigger.Request())
        executor.spin_until_future_complete(future, 60)
        response = future.result()
        assert response.success is success and response.message.startswith(words), response.message
    beats = [int(number) for number in re.findall(r"\((\d+) beats meanwhile\)", process.output)]
    assert len(beats) == 2 and max(beats) > 0, "the timer went on"
    assert "generating" in process.output
    assert process.stop() == 0 and "Traceback" not in process.output
    node.destroy_node()
    executor.shutdown()


def set_query(node, executor, name, query):
    parameters = AsyncParameterClient(node, name)
    assert parameters.wait_for_services(30)
    future = parameters.set_parameters([Parameter("query", value=query)])
    executor.spin_until_future_complete(future, 30)
    assert future.result().results[0].successful


@pytest.mark.ros
@pytest.mark.timeout(200)
def test_pick_target(lisa, scene, run, ros_context):
    seen = {}
    node = Node("planner", namespace=lisa, context=ros_context)
    node.create_subscription(PoseStamped, "pre_grasp", lambda m: seen.update(pose=m), LATCHED)
    node.create_subscription(Marker, "pre_grasp_marker", lambda m: seen.update(marker=m), LATCHED)
    executor = SingleThreadedExecutor(context=ros_context)
    executor.add_node(node)
    options = ("--name", lisa, "--hold", "20", "--force", "--ros-args", "-r", f"__ns:={lisa}")
    process = run("pick_target", "the banana", *options)
    end = time.monotonic() + 100
    while len(seen) < 2 and time.monotonic() < end:
        executor.spin_once(timeout_sec=0.1)
    assert len(seen) == 2, process.output
    node.destroy_node()
    executor.shutdown()
    assert "frame camera" in process.output and "mm between the fingers" in process.output

    position, turn = seen["pose"].pose.position, seen["pose"].pose.orientation
    gripper = scene.camera_pose @ pose_matrix((position.x, position.y, position.z, turn.x, turn.y, turn.z, turn.w))
    np.testing.assert_allclose(gripper[:3, 2], (0, 0, -1), atol=0.05, err_msg="the gripper points down")
    thing = banana(scene)
    top = thing.centre[2] + thing.extents[2] / 2
    assert np.linalg.norm(gripper[:2, 3] - thing.centre[:2]) < 0.03, "above the banana"
    assert 0.05 < gripper[2, 3] - top < 0.11, "by the standoff less the fingers' depth"
    assert seen["marker"].type == Marker.ARROW and seen["marker"].header == seen["pose"].header
    tip = seen["marker"].points[1]
    down = np.array([tip.x - position.x, tip.y - position.y, tip.z - position.z])
    assert np.linalg.norm(down) == pytest.approx(0.1, abs=1e-6)

    narrow = run("pick_target", "the banana", "--name", lisa, "--force", "--opening", "0.01")
    assert narrow.wait(60) == 1 and re.search(r"NotPickableError: .* the gripper opens 10 mm", narrow.output)
    absent = run("pick_target", "the hammer", "--name", lisa)
    assert absent.wait(60) == 1 and "NO_TARGET" in absent.output


def standing(yaw, sides, centre, **changes) -> TargetLocation:
    pose = np.eye(4)
    pose[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
    pose[:3, 3] = centre
    location = TargetLocation(
        frame_id="base_link",
        pose=pose,
        extents=np.array(sides),
        centroid=np.array(centre),
        point_count=1,
        depth_coverage=1.0,
        has_support=True,
        completed=False,
        visible_share=0.5,
        center_stddev=np.zeros(3),
        extents_stddev=np.zeros(3),
        height=sides[2],
        grasp=None,
        grasp_warnings=(),
    )
    return replace(location, **changes)


@pytest.mark.unit
@given(
    st.floats(-3.2, 3.2),
    st.tuples(st.floats(0.06, 0.3), st.floats(0.01, 0.06), st.floats(0.01, 0.3)),
    st.tuples(*[st.floats(-1, 1)] * 3),
)
def test_a_pre_grasp_is_above_the_middle_and_closes_along_the_shorter_side(yaw, sides, centre):
    pick = load("pick_target")
    location = standing(yaw, sides, centre)
    points = centre + np.random.default_rng(0).uniform(-0.5, 0.5, (4000, 3)) * sides @ location.pose[:3, :3].T
    found = pick.pre_grasp(location, points, 0.1, 0.08)
    np.testing.assert_allclose(found.pose[:3, :3].T @ found.pose[:3, :3], np.eye(3), atol=1e-9)
    assert np.linalg.det(found.pose[:3, :3]) == pytest.approx(1)
    np.testing.assert_allclose(found.pose[:3, 2], (0, 0, -1), atol=1e-9)
    np.testing.assert_allclose(found.pose[:3, 1], location.pose[:3, 1], atol=1e-9)
    np.testing.assert_allclose(found.pose[:2, 3], centre[:2], atol=1e-9)
    tips = found.pose[2, 3] - 0.1 - centre[2]
    assert -sides[2] / 2 < tips < sides[2] / 2 and found.width == sides[1]


@pytest.mark.unit
def test_what_cannot_be_picked_says_why():
    pick = load("pick_target")
    points = np.zeros((3, 3))
    with pytest.raises(pick.NotPickableError, match="90 mm wide, the gripper opens 80 mm"):
        pick.pre_grasp(standing(0.0, (0.2, 0.09, 0.1), (0, 0, 0)), points, 0.1, 0.08)
    with pytest.raises(pick.NotPickableError, match="parameter `up`"):
        pick.pre_grasp(standing(0.0, (0.2, 0.05, 0.1), (0, 0, 0), has_support=False), points, 0.1, 0.08)
