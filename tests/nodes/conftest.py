import subprocess
import sys
import uuid
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="module")
def start(shared_context, tmp_path_factory):
    """start(**parameters) -> (process, robot) in a namespace of their own; both end with the module.

    script: the program that runs the node. active: wait until it answers.
    """
    from node_harness import PerceptionProcess, Robot

    started = []

    def start(script="run_scripted.py", active=True, **parameters):
        namespace = f"/t{uuid.uuid4().hex[:6]}"
        log = tmp_path_factory.mktemp("node") / "log.txt"
        process = PerceptionProcess(namespace, log, script, **parameters)
        started.append((process, robot := Robot(shared_context, namespace)))
        if active:
            try:
                robot.until_active(process.process)
            except AssertionError as error:
                raise AssertionError(f"{error}; its log:\n{process.log}") from error
        return process, robot

    yield start
    for process, robot in started:
        robot.close()
        process.stop(timeout=60)  # reached on a machine that is busy with other things


@pytest.fixture(scope="module")
def running(start):
    """A node with default parameters, shared by a module's tests."""
    return start()


@pytest.fixture
def robot(running):
    """The shared robot, quiet again after each test."""
    process, robot = running
    robot.feedback.clear()
    yield robot
    robot.stop_stream()
    assert process.process.poll() is None, process.log


@pytest.fixture
def node_log(running):
    """node_log() is what the shared node has written."""
    return lambda: running[0].log


@pytest.fixture(scope="module")
def start_camera():
    """start_camera(namespace) streams images and depth from a process of its own until the module ends."""
    cameras = []

    def start(namespace):
        script = Path(__file__).parent / "run_camera.py"
        command = [sys.executable, str(script), "--ros-args", "-r", f"__ns:={namespace}"]
        cameras.append(subprocess.Popen(command, start_new_session=True))

    yield start
    for camera in cameras:
        camera.terminate()
        camera.wait(10)
