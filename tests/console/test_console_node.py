"""The console as a process beside a real perception node and a camera, seen in a real browser."""

import re
import signal
import uuid
from dataclasses import dataclass

import pytest
from conftest import until

pytestmark = [pytest.mark.ros, pytest.mark.timeout(400)]

pytest.importorskip("viser")


@dataclass
class Graph:
    """A camera, a perception node and the console; `start` starts the node again."""

    namespace: str
    camera: object
    start: object
    node: object
    console: object
    address: str


@pytest.fixture(scope="module")
def graph(shared_context, tmp_path_factory, browser):
    """Everything ends with the module."""
    from camera_thread import CameraThread
    from node_harness import PerceptionProcess

    namespace, folder = f"/c{uuid.uuid4().hex[:6]}", tmp_path_factory.mktemp("console")
    started = []

    def start(script="run_scripted.py", **parameters):
        process = PerceptionProcess(namespace, folder / f"{len(started)}.txt", script, **parameters)
        started.append(process)
        return process

    camera, node = CameraThread(shared_context, namespace), start()
    console = start("../console/run_console.py", port=0)
    try:
        found = until(lambda: re.search(r"open (http://\S+)", console.log), 90)
        yield Graph(namespace, camera, start, node, console, found[1])
    finally:
        for process in reversed(started):
            process.stop()
        camera.close()


@pytest.fixture(scope="module")
def window(graph, browser):
    """One window for all tests of the module: each begins where the last one ended."""
    from console_browser import ConsoleBrowser

    context = browser.new_context(viewport={"width": 1000, "height": 600})
    yield ConsoleBrowser(context.new_page(), graph.address)
    context.close()


def test_the_answer_comes_with_its_mask_on_its_frame(window):
    window.see(exactly("active"))
    window.see("160x120")
    window.ask("the red square, talk 10")
    window.see("1,600 pixels")
    until(lambda: any(_shows_the_mask(picture) for picture in window.pictures()))


def test_a_query_is_cancelled(window):
    window.ask("sleep 100 and then blue")
    window.see(exactly("generating"))
    window.click("Cancel")
    window.see("cancelled by the action's client")


def test_queries_of_other_programs_appear(window, graph):
    from lisa_ros.client import PerceptionClient

    with PerceptionClient(graph.namespace, discovery_timeout=60, clouds="none") as client:
        client.ask("blue for a program", timeout=60)
    window.see("asked by another program")
    window.see("900 pixels")


def test_bad_input_is_answered_and_not_crashed_on(window):
    window.ask(" , ")
    window.see("Type something to ask about first.")
    window.ask("x" * 2500)
    window.see(exactly("rejected"))
    window.see("2000")


def test_parameters_are_read_from_the_node_and_set_in_it(window):
    window.page.get_by_role("tab", name="Parameters").press("Enter")
    window.field("Parameter").fill("max_image_age")
    window.page.get_by_role("option", name="max_image_age").click()
    window.see("Images older than this")
    value = window.field("Value")
    for text, words in (("4", "max_image_age is 4 now"), ("9999", "max_image_age was not set"), ("x", "a number")):
        value.fill(text)
        value.press("Enter")
        window.see(words)
    window.page.get_by_role("tab", name="History").press("Enter")


def test_a_node_that_ends_is_told_and_one_that_is_started_anew_is_found(window, graph):
    window.ask("sleep 100 and then green")
    window.see(exactly("generating"))
    graph.node.stop(signal.SIGKILL)
    window.see(exactly("no node"))
    window.see("ended or was started anew")
    graph.start()
    window.see(exactly("active"))
    window.ask("blue again")
    window.see(re.compile("Frame .: blue"))


def test_a_camera_that_stops_is_told(window, graph):
    graph.camera.stop()
    window.see(exactly("not live"))
    window.see("no image for")
    window.ask("red without a camera")
    window.see(exactly("no image"))
    assert "Traceback" not in graph.console.log, graph.console.log


def exactly(words):
    return re.compile(f"^{words}$")


def _shows_the_mask(picture):
    """The red square of the harness' picture with the first mask's orange over it, and the rest as it was."""
    if picture.shape != (120, 160, 3):
        return False
    inside, outside = picture[45:60, 50:70].mean((0, 1)), picture[100:, :30].mean((0, 1))
    return inside[1] > 60 and inside[0] > 200 and abs(outside - 90).max() < 12
