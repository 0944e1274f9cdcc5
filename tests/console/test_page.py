"""The page in a real browser, without ROS: what the state holds is seen, and what a person does is asked for."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import until

from lisa_ros.console.state import (
    CameraView,
    ConsoleState,
    LocatedTarget,
    NodeView,
    ParameterView,
    SpatialView,
)
from lisa_ros.types import SEGMENTED, Target

pytestmark = [pytest.mark.unit, pytest.mark.timeout(300)]

pytest.importorskip("viser")


class RecordedRequests:
    """Keeps what the page asks for."""

    def __init__(self, state):
        self.state, self.asked, self.parameters = state, [], []
        self.cancelled = self.forgotten = 0

    def ask(self, words, as_phrases, in_conversation):
        self.asked.append((words, as_phrases, in_conversation))
        self.state.add(words)

    def cancel(self):
        self.cancelled += 1

    def forget(self):
        self.forgotten += 1

    def set_parameter(self, name, text):
        self.parameters.append((name, text))


@pytest.fixture
def page():
    """(page, state, requests, errors)."""
    from lisa_ros.console.page import ConsolePage

    state, errors = ConsoleState(), []
    requests = RecordedRequests(state)
    served = ConsolePage(state, requests, "127.0.0.1", 0, errors.append)
    yield served, state, requests, errors
    served.close()
    assert not errors


def image(red=20):
    picture = np.full((48, 64, 3), 90, np.uint8)
    picture[..., 0] = red
    return picture


def space():
    box = np.eye(4)
    box[:3, 3] = 0.0, 0.1, 0.8
    points = np.random.default_rng(0).normal(box[:3, 3], 0.02, (50, 3)).astype(np.float32)
    return SpatialView(
        "camera_optical_frame", True, points, np.full((50, 3), 200, np.uint8), points + 0.1,
        np.full((50, 3), 90, np.uint8), (LocatedTarget(0, "mug", box, np.full(3, 0.05), box, 0.05, ("slip: wet",)),),
        np.eye(4), np.eye(4), 0.8,
    )  # fmt: skip


def finish(state, number, answer="The mug.", **values):
    mask = np.zeros((48, 64), bool)
    mask[10:30, 10:30] = True
    target = Target("mug", SEGMENTED, mask, mean_probability=0.9)
    state.update(number, status="OK", answer=answer, image=image(), targets=(target,), **values)


def test_a_question_its_words_as_they_come_and_its_mask(page, open_page):
    served, state, requests, _ = page
    state.set(
        node=NodeView("/lisa/perception", "active", "", {"model": "tabletop"}),
        camera=CameraView("/lisa/image", image(), 30.0),
    )
    window, other = open_page(served.address), open_page(served.address)
    window.see("/lisa/perception")
    window.see("64x48, 30 Hz, /lisa/image")
    window.see("Nothing has been asked yet")
    window.ask("the red mug")
    until(lambda: requests.asked == [("the red mug", False, False)])
    number = state.view.selected
    state.update(number, stage="generating", answer="The m")
    window.see("generating")
    window.see("The m")
    other.see("The m")  # two browsers see the same
    window.click("Cancel")
    until(lambda: requests.cancelled == 1)
    finish(state, number, space=space(), seconds={"encode": 0.2, "generate": 0.3})
    for one in (window, other):
        one.see("400 pixels, p 0.90")
        until(lambda one=one: any(_is_orange(picture[20, 20]) for picture in one.pictures()))
    assert not window.page.get_by_role("button", name="Cancel", exact=True).is_enabled()
    elsewhere = [url for url in window.requests if not url.startswith((served.address, "blob:", "data:"))]
    assert not elsewhere, "the page works without the internet"
    window.page.context.close()  # a browser that closes disturbs nobody
    until(lambda: served.viewers == 1)
    state.add("another one")
    other.see("another one")


def _is_orange(pixel):
    return pixel[0] > pixel[2] + 40


def test_the_history_brings_a_query_back(page, open_page):
    served, state, _, _ = page
    for words, answer in (("the mug", "Here it is."), ("the fork", "There is no fork.")):
        finish(state, state.add(words), answer)
    state.update(2, status="NO_TARGET", targets=(), message="not in the image: the fork")
    window = open_page(served.address)
    window.see("There is no fork.")
    window.click("the mug")
    window.see("Here it is.")
    until(lambda: not window.sees("There is no fork."))
    assert state.view.selected == 1


def test_what_is_wrong_is_shown(page, open_page):
    served, state, requests, _ = page
    state.set(
        node=NodeView("/lisa/perception", "", "nothing has been heard from /lisa/perception for 5 s"),
        camera=CameraView("/lisa/image", image(200), 0.0, "no image for 7 s: the camera is gone"),
    )
    state.notify("max_image_age is 'x'; it must be a number", is_error=True)
    number = state.add("<b>the mug</b> " + "x" * 300)
    state.update(number, status="NO RESULT", message="the node ended")
    window = open_page(served.address)
    for words in ("no node", "for 5 s", "not live", "the camera is gone", "it must be a number", "the node ended"):
        window.see(words)
    window.see("<b>the mug</b>")  # as it was typed
    until(lambda: any((picture[0, 0] == picture[0, 0, 0]).all() for picture in window.pictures()))
    assert window.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "nothing sticks out"
    assert not requests.asked


def test_parameters_and_conversations(page, open_page):
    served, state, requests, _ = page
    state.set(
        node=NodeView("/lisa/perception", "active", ""),
        parameters=(ParameterView("max_image_age", "2", "Images older than this are not used.", "0 to 3600"),),
        in_conversation=True,
    )
    window = open_page(served.address)
    window.click("New conversation")
    until(lambda: requests.forgotten == 1)
    window.page.get_by_role("tab", name="Parameters").press("Enter")
    window.see("0 to 3600")
    field = window.field("Value")
    field.fill("3.5")
    field.press("Enter")
    until(lambda: requests.parameters == [("max_image_age", "3.5")])
    state.set(parameters=(replace(state.view.parameters[0], value="3.5"),))
    window.see("3.5")
    window.field("Follow-up").press("Space")
    window.ask("and the other one?")
    until(lambda: requests.asked == [("and the other one?", False, True)])
