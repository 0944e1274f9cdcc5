"""The state of the page, and the HTML made of it."""

import threading
from dataclasses import replace

import numpy as np
import pytest

from lisa_ros.console import markup
from lisa_ros.console.pictures import WIDEST, answer_picture, fitted, stale
from lisa_ros.console.state import HISTORY, NO_RESULT, PROGRAM, RUNNING, ConsoleState, NodeView, QueryRecord
from lisa_ros.types import ABSENT, SEGMENTED, Target
from lisa_ros.visualization import PALETTE

pytestmark = pytest.mark.unit


def test_a_new_query_of_the_page_is_put_on_display_and_one_of_others_is_not():
    state = ConsoleState()
    first = state.add("one")
    other = state.add("two", origin=PROGRAM, select=False)
    assert state.view.selected == first
    assert state.view.shown.query == "one"
    state.select(other)
    assert state.view.shown.query == "two"
    state.select(99)
    assert state.view.selected == other


def test_the_history_drops_what_is_over_before_what_runs():
    state = ConsoleState()
    running = state.add("runs")
    for number in range(HISTORY + 5):
        state.update(state.add(f"over {number}", origin=PROGRAM, select=False), status="OK")
    numbers = [record.number for record in state.view.records]
    assert len(numbers) == HISTORY
    assert running in numbers
    assert numbers == sorted(numbers)
    assert state.view.shown.number == running
    state.update(running, status="OK", answer="done")
    assert state.view.shown.answer == "done"
    state.update(1000, status="OK")  # not kept any more: no error


def test_the_page_asks_while_a_query_of_its_own_runs():
    state = ConsoleState()
    assert not state.view.is_asking
    own = state.add("one")
    assert state.view.is_asking
    state.update(own, status=NO_RESULT)
    state.add("two", origin=PROGRAM, status=RUNNING)
    assert not state.view.is_asking


def test_results_of_others_take_the_display_unless_somebody_looks_back_or_waits():
    state = ConsoleState()
    assert state.view.follows
    first = state.add("one", origin=PROGRAM, status="OK")
    second = state.add("two", origin=PROGRAM, status="OK")
    assert state.view.follows
    state.select(first)
    assert not state.view.follows
    state.select(second)
    assert state.view.follows
    state.add("mine")
    assert not state.view.follows


def test_many_threads_lose_nothing():
    state = ConsoleState()
    number = state.add("one")
    threads = [threading.Thread(target=lambda n=n: state.set(node=NodeView(str(n)))) for n in range(20)]
    threads += [threading.Thread(target=lambda: state.add("more", select=False)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(state.view.records) == 21
    assert state.view.selected == number


# -- HTML

NASTY = '<script>alert("x")</script>&<img src=x onerror=y>'


def test_whatever_comes_from_outside_is_escaped():
    mask = np.ones((4, 4), bool)
    record = QueryRecord(
        1, NASTY, status="OK", message=NASTY, answer=NASTY, model=NASTY, seconds={NASTY: 1.0},
        targets=(Target(NASTY, SEGMENTED, mask), Target(NASTY, ABSENT, ~mask, correction=NASTY)),
    )  # fmt: skip
    running = replace(record, status=RUNNING, stage=NASTY)
    for text in (
        markup.answer_block(record, 0.0),
        markup.answer_block(running, 0.0),
        markup.table([(NASTY, NASTY)]),
        markup.note(NASTY, markup.RED),
        markup.badge(NASTY, markup.RED),
        markup.aside(NASTY),
        markup.muted(NASTY),
    ):
        assert "&lt;script&gt;" in text
        assert "<script" not in text
        assert "<img" not in text


def test_an_answer_tells_status_targets_and_times():
    mask = np.zeros((4, 4), bool)
    mask[:2] = True
    record = QueryRecord(
        1, "what is there?", status="NO_DEPTH", message="no depth came", answer="The mug.", turn=2, truncated=True,
        targets=(Target("mug", SEGMENTED, mask, mean_probability=0.9), Target("fork", ABSENT, mask & False)),
        seconds={"encode": 0.25, "generate": 1.5, "convert": 0.00001, "total": 1.75},
    )  # fmt: skip
    text = markup.answer_block(record, 0.0)
    for words in ("no depth<", "no depth came", "The mug.", "turn 2", "token limit", "8 pixels, p 0.90", "not in the"):
        assert words in text
    assert "encode 250 ms" in text
    assert "generate 1.50 s" in text
    assert "convert" not in text, "too short to be worth a place"
    assert "1.75 s" in text
    assert markup.summary(record) == "no depth, 1.75 s"


def test_a_running_query_tells_its_stage_and_how_long_it_has_run():
    record = QueryRecord(1, "what?", asked=100.0, stage="generating", answer="The", masks=2)
    text = markup.answer_block(record, 112.4)
    for words in ("generating", "12 s, masks so far: 2", "The<span"):
        assert words in text


# -- pictures


def test_the_answer_is_drawn_over_its_own_frame():
    image = np.full((40, 60, 3), 200, np.uint8)
    mask = np.zeros((40, 60), bool)
    mask[10:30, 10:30] = True
    drawn = answer_picture(QueryRecord(1, "?", image=image, targets=(Target("", SEGMENTED, mask),)))
    assert drawn.shape == image.shape
    assert (drawn[20, 20] == (image[20, 20] * 0.55 + np.array(PALETTE[0]) * 0.45).astype(np.uint8)).all()
    assert (drawn[35, 50] == image[35, 50]).all()


def test_masks_without_their_frame_are_drawn_on_grey_and_never_on_another_image():
    mask = np.zeros((40, 60), bool)
    mask[10:30, 10:30] = True
    target = Target("", SEGMENTED, mask)
    alone = answer_picture(QueryRecord(1, "?", targets=(target,)))
    assert alone.shape == (40, 60, 3)
    assert (alone[35, 50] == alone[0, 0]).all()
    other = np.full((20, 30, 3), 99, np.uint8)
    assert (answer_picture(QueryRecord(1, "?", image=other, targets=(target,))) == 99).all()
    assert answer_picture(QueryRecord(1, "?")) is None


def test_large_images_are_sent_smaller_and_old_ones_without_colour():
    image = np.zeros((1080, 1920, 3), np.uint8)
    image[..., 0] = 255
    assert fitted(image).shape == (540, WIDEST, 3)
    grey = stale(image)
    assert grey.shape == (540, WIDEST, 3)
    assert (grey == grey[0, 0, 0]).all()
    assert grey[0, 0, 0] < 255
