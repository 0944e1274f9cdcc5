import dataclasses

import pytest

from lisa_ros.errors import InvalidQueryError
from lisa_ros.nodes.perception.frames.frame_buffer import CameraFrame
from lisa_ros.nodes.perception.parameters import PerceptionParameters
from lisa_ros.nodes.perception.queries.conversations import Conversations
from lisa_ros.nodes.perception.queries.query import (
    ACTION,
    STANDING,
    TOPIC,
    Query,
    QueryRequest,
    QueryState,
    check_words,
)
from lisa_ros.nodes.perception.queries.query_queue import QueryQueue

pytestmark = pytest.mark.unit
FRAME = CameraFrame(1, 1, None)
PARAMETERS = PerceptionParameters()


def query(text, source=TOPIC, frame=FRAME, parameters=PARAMETERS, **more):
    asked = Query(QueryRequest(text, source, parameters, 0, True, **more))
    if frame is not None:
        asked.bind(frame, None)
    return asked


def test_newest_words_win_on_the_topic():
    queue = QueryQueue()
    first, second, third = query("1"), query("2"), query("3")
    assert queue.add(first) == [] and queue.start_next() is first
    assert queue.add(second) == [first] and first.cancel.is_set()
    first.finish()
    assert queue.add(third) == [second]
    assert queue.start_next() is None  # the inference thread has not released the first
    queue.release()
    assert queue.start_next() is third


def test_the_words_that_run_already_run_on():
    queue = QueryQueue()
    first, again, third = query("the mug"), query("the mug"), query("the mug")
    queue.add(first)
    queue.start_next()
    assert queue.add(again) == [] and not first.cancel.is_set()
    assert queue.add(third) == [again], "one waits, about the newest image"
    queue.release()
    assert queue.start_next() is third


def test_words_about_another_image_are_another_question():
    queue = QueryQueue()
    first = query("the mug")
    queue.add(first)
    queue.start_next()
    assert queue.add(query("the mug", image_stamp=5)) == [first]


def test_however_fast_words_come_every_third_query_runs_to_its_end():
    queue, ended = QueryQueue(), 0
    for number in range(30):
        queue.add(query(f"words {number}"))  # before each step of the inference thread, as from a topic at a high rate
        if queue.running is not None and number % 2:
            ended += not queue.running.cancel.is_set()
            queue.running.finish()
            queue.release()
        queue.start_next()
    assert ended >= 4


def test_newer_words_take_the_place_in_line_and_the_patience_of_those_they_replace():
    queue = QueryQueue()
    running, spoken, goal = query("r", ACTION), query("mug", frame=None), query("g", ACTION)
    spoken.frame_seen = 1.0
    queue.add(running)
    queue.start_next()
    queue.add(spoken)
    queue.add(goal)
    newer = query("fork", frame=None)
    assert queue.add(newer) == [spoken] and queue.pending == [newer, goal]
    assert newer.waiting_since == spoken.waiting_since and newer.frame_seen == 1.0


def test_goals_wait_in_turn_and_are_not_superseded():
    queue = QueryQueue()
    goals = [query(str(n), ACTION) for n in range(3)]
    assert [queue.add(goal) for goal in goals] == [[], [], []]
    spoken = query("words")
    assert queue.add(spoken) == []
    order = []
    while (started := queue.start_next()) is not None:
        order.append(started)
        queue.release()
    assert order == [*goals, spoken]


def test_the_standing_query_gives_way():
    queue = QueryQueue()
    standing = query("all", STANDING)
    queue.add(standing)
    queue.start_next()
    goal = query("one", ACTION)
    assert queue.is_preemptible and not queue.is_idle
    assert queue.add(goal) == [standing] and standing.cancel.is_set()
    assert not queue.is_preemptible


def test_a_query_without_an_image_does_not_hold_up_the_others():
    queue = QueryQueue()
    waiting, ready = query("waits", ACTION, frame=None), query("ready", ACTION)
    queue.add(waiting)
    queue.add(ready)
    assert queue.start_next() is ready and queue.goals_waiting() == 1 and not queue.is_idle


def test_all_that_owe_a_result_are_listed_once():
    queue = QueryQueue()
    running, waiting = query("r", ACTION), query("w", ACTION)
    queue.add(running)
    queue.start_next()
    queue.add(waiting)
    assert queue.unfinished() == [running, waiting]
    running.finish()
    queue.drop(waiting)
    assert queue.unfinished() == [] and waiting.cancel.is_set()


def asked(text, phrases=()):
    return QueryRequest(text, ACTION, PerceptionParameters(max_query_length=300), 0, False, phrases=tuple(phrases))


@pytest.mark.parametrize("text", ["", "   \n\t", "x" * 301])
def test_words_that_cannot_be_asked(text):
    with pytest.raises(InvalidQueryError):
        check_words(asked(text))


@pytest.mark.parametrize(
    ("phrases", "words"),
    [
        ([""], "phrase 1 of 1 is empty"),
        (["mug", " \t"], "phrase 2 of 2 is empty"),
        (["x"] * 65, "65 phrases in one query, the limit is 64"),
        (["x" * 150, "y" * 149], "the 2 phrases, with commas, have 301 characters, the limit is 300"),
    ],
)
def test_phrases_that_cannot_be_asked_for(phrases, words):
    with pytest.raises(InvalidQueryError, match=words):
        check_words(asked(", ".join(phrases), phrases))


def test_the_most_and_longest_phrases_can_be_asked_for():
    for phrases in (["x"] * 64, ["x" * 300], ["mug", "mug"]):
        check_words(asked(", ".join(phrases), phrases))
    assert not asked("mug, fork", ["mug", "fork"]).asks_the_same(asked("mug, fork"))


def test_the_longest_silent_conversation_is_forgotten():
    conversations = Conversations()
    for name in ("a", "b", "a", "c"):
        conversations.keep(query("?", parameters=PerceptionParameters(max_conversations=2), conversation_id=name))
    assert conversations.ids == {"a", "c"} and conversations.get("b") is None
    assert conversations.get("a").frame is FRAME and conversations.get("") is None
    assert conversations.forget("a") == 1 and conversations.forget("a") == 0 and conversations.forget() == 1


def test_a_query_goes_through_its_states_in_order_and_may_end_in_each():
    asked = query("the mug", frame=None)
    assert asked.state is QueryState.WAITING
    with pytest.raises(RuntimeError, match="waiting, expected bound"):
        asked.start()
    asked.bind(FRAME, None)
    assert asked.state is QueryState.BOUND and asked.frame is FRAME
    with pytest.raises(RuntimeError, match="bound, expected waiting"):
        asked.bind(CameraFrame(2, 2, None), None)
    asked.start()
    assert asked.state is QueryState.RUNNING and asked.started is not None
    asked.finish()
    assert asked.is_done and query("never bound", frame=None).is_done is False
    with pytest.raises(RuntimeError, match="done, expected bound"):
        asked.start()


def test_what_is_asked_does_not_change_on_the_way():
    with pytest.raises(dataclasses.FrozenInstanceError):
        query("the mug").request.text = "the fork"
