import os
import sys
import uuid
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def shared_context():
    """rclpy with the shared memory that images of a camera's size need."""
    profile = str(Path(__file__).parents[2] / "config" / "fastdds.xml")
    names = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")  # the latter up to Jazzy
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, profile))
    import rclpy
    from rclpy.context import Context

    context = Context()
    rclpy.init(context=context)
    yield context
    rclpy.try_shutdown(context=context)
    for name, value in before.items():
        if value is None:
            os.environ.pop(name)
        else:
            os.environ[name] = value


@pytest.fixture(scope="module")
def start(shared_context, tmp_path_factory):
    """start(**parameters) -> (process, robot) in a namespace of their own; both end with the module."""
    from node_harness import PerceptionProcess, Robot

    started = []

    def start(active=True, **parameters):
        namespace = f"/t{uuid.uuid4().hex[:6]}"
        log = tmp_path_factory.mktemp("node") / "log.txt"
        process = PerceptionProcess(namespace, log, **parameters)
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
        process.stop()


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
