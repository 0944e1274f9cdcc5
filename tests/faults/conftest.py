import subprocess
import sys
import uuid
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "nodes")]


@pytest.fixture(scope="session")
def start_node(shared_context, tmp_path_factory):
    """start_node(**parameters) -> (node process, robot), both ready; they end with the session."""
    from fault_robot import FaultRobot, NodeProcess

    started = []

    def start(namespace=None, robot=None, ready=True, program=(HERE / "faulty_engine.py",), **parameters):
        namespace = namespace or f"/f{uuid.uuid4().hex[:6]}"
        log = tmp_path_factory.mktemp("node") / "log.txt"
        node = NodeProcess(namespace, log, program, **parameters)
        if robot is None:
            robot = FaultRobot(shared_context, namespace)
        started.append((node, robot))
        if ready:
            robot.hello(node)
        return node, robot

    yield start
    for robot in {id(robot): robot for _, robot in started}.values():
        robot.close()
    for node, _ in started:
        node.stop(timeout=60)


@pytest.fixture(scope="session")
def shared_node(start_node):
    """One node for most tests: what one of them breaks, the next ones notice."""
    return start_node(image_timeout=1.0, max_image_age=1.0)


@pytest.fixture(scope="module")
def start_camera():
    """start_camera(namespace) streams 640x480 images and depth at 30 Hz from a process of its own."""
    cameras = []

    def start(namespace):
        script = HERE.parent / "nodes" / "run_camera.py"
        command = [sys.executable, str(script), "--ros-args", "-r", f"__ns:={namespace}"]
        cameras.append(subprocess.Popen(command, start_new_session=True))

    yield start
    for camera in cameras:
        camera.terminate()
        camera.wait(10)


@pytest.fixture
def node(shared_node):
    return shared_node[0]


@pytest.fixture
def robot(shared_node):
    """The shared node's robot. After each test the node lives, owes nobody a result and answers a plain query."""
    node, robot = shared_node
    yield robot
    robot.stop_stream()
    assert node.process.poll() is None, f"the node ended with {node.process.poll()}:\n{node.log[-5000:]}"
    robot.settle()
