import sys
import time
import uuid
from pathlib import Path

import pytest

HERE = Path(__file__).parent
NODES = HERE.parent / "nodes"
sys.path[:0] = [str(HERE), str(NODES)]


@pytest.fixture(scope="module")
def start_node(shared_context, tmp_path_factory):
    """start_node(**parameters) -> (process, namespace, camera): a real node with the scripted engine, and its camera.

    answers: wait until a query has come back with clouds. Everything ends with the module.
    """
    from camera_thread import CameraThread
    from node_harness import PerceptionProcess

    from lisa_ros.client import PerceptionClient

    started = []

    def start(namespace=None, camera=None, answers=True, **parameters):
        log = tmp_path_factory.mktemp("node") / "log.txt"
        namespace = namespace or f"/c{uuid.uuid4().hex[:6]}"
        process = PerceptionProcess(namespace, log, "run_scripted.py", **parameters)
        started.append(process)
        if camera is None:
            camera = CameraThread(shared_context, namespace)
            started.append(camera)
        if answers:
            with PerceptionClient(namespace, discovery_timeout=60) as client:
                _until_answered(client, process)
        return process, namespace, camera

    yield start
    for one in reversed(started):
        one.close() if hasattr(one, "close") else one.stop()


def _until_answered(client, process):
    end = time.monotonic() + 90
    while "active, subscribed" not in process.log and process.process.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
    while time.monotonic() < end:
        result = client.ask("red to begin with", timeout=60)
        if result.cloud is not None:
            return
    raise AssertionError(f"the node does not answer: {result.status} {result.message}; its log:\n{process.log}")


@pytest.fixture(scope="module")
def node(start_node):
    """(process, namespace, camera) of a node that a module's tests share."""
    return start_node(queue_size=32)


@pytest.fixture(scope="module")
def lisa(node):
    """A stand-alone client of the shared node, also of its scene clouds."""
    from lisa_ros.client import PerceptionClient

    with PerceptionClient(node[1], clouds="scene", discovery_timeout=30) as client:
        yield client
