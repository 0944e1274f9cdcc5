import pytest

from lisa_ros.errors import InvalidQueryError
from lisa_ros.nodes.perception.frames.frame_buffer import CameraFrame
from lisa_ros.nodes.perception.parameters import PerceptionParameters
from lisa_ros.nodes.perception.queries.conversations import Conversations
from lisa_ros.nodes.perception.queries.query import ACTION, STANDING, TOPIC, Query, check_text
from lisa_ros.nodes.perception.queries.query_queue import QueryQueue

pytestmark = pytest.mark.unit
FRAME = CameraFrame(1, 1, None)


def query(text, source=TOPIC, frame=FRAME, **more):
    return Query(text, source, PerceptionParameters(), 0, True, frame=frame, **more)


def test_newest_words_win_on_the_topic():
    board = QueryQueue()
    first, second, third = query("1"), query("2"), query("3")
    assert board.add(first) == [] and board.start_next() is first
    assert board.add(second) == [first] and first.cancel.is_set()
    first.finished = True
    assert board.add(third) == [second]
    assert board.start_next() is None  # the worker has not let go of the first
    board.release()
    assert board.start_next() is third


def test_the_words_that_run_already_run_on():
    board = QueryQueue()
    first, again, third = query("the mug"), query("the mug"), query("the mug")
    board.add(first)
    board.start_next()
    assert board.add(again) == [] and not first.cancel.is_set()
    assert board.add(third) == [again], "one waits, about the newest image"
    board.release()
    assert board.start_next() is third


def test_words_about_another_image_are_another_question():
    board = QueryQueue()
    first = query("the mug")
    board.add(first)
    board.start_next()
    assert board.add(query("the mug", image_stamp=5)) == [first]


def test_however_fast_words_come_every_third_query_runs_to_its_end():
    board, ended = QueryQueue(), 0
    for number in range(30):
        board.add(query(f"words {number}"))  # before each step of the worker, as from a topic at a high rate
        if board.running is not None and number % 2:
            ended += not board.running.cancel.is_set()
            board.running.finished = True
            board.release()
        board.start_next()
    assert ended >= 4


def test_newer_words_take_the_place_in_line_and_the_patience_of_those_they_replace():
    board = QueryQueue()
    running, spoken, goal = query("r", ACTION), query("mug", frame=None, seen=1.0), query("g", ACTION)
    board.add(running)
    board.start_next()
    board.add(spoken)
    board.add(goal)
    newer = query("fork", frame=None)
    assert board.add(newer) == [spoken] and board.pending == [newer, goal]
    assert newer.waiting_since == spoken.waiting_since and newer.seen == 1.0


def test_goals_wait_in_turn_and_are_not_superseded():
    board = QueryQueue()
    goals = [query(str(n), ACTION) for n in range(3)]
    assert [board.add(goal) for goal in goals] == [[], [], []]
    spoken = query("words")
    assert board.add(spoken) == []
    order = []
    while (started := board.start_next()) is not None:
        order.append(started)
        board.release()
    assert order == [*goals, spoken]


def test_the_standing_query_gives_way():
    board = QueryQueue()
    standing = query("all", STANDING)
    board.add(standing)
    board.start_next()
    goal = query("one", ACTION)
    assert board.is_preemptible and not board.idle
    assert board.add(goal) == [standing] and standing.cancel.is_set()
    assert not board.is_preemptible


def test_a_query_without_an_image_does_not_hold_up_the_others():
    board = QueryQueue()
    waiting, ready = query("waits", ACTION, frame=None), query("ready", ACTION)
    board.add(waiting)
    board.add(ready)
    assert board.start_next() is ready and board.goals_waiting() == 1 and not board.idle


def test_all_that_owe_a_result_are_listed_once():
    board = QueryQueue()
    running, waiting = query("r", ACTION), query("w", ACTION)
    board.add(running)
    board.start_next()
    board.add(waiting)
    assert board.everything() == [running, waiting]
    running.finished = True
    board.drop(waiting)
    assert board.everything() == [] and waiting.cancel.is_set()


@pytest.mark.parametrize("text", ["", "   \n\t", "x" * 11])
def test_words_that_cannot_be_asked(text):
    with pytest.raises(InvalidQueryError):
        check_text(text, 10)


def test_the_longest_silent_conversation_is_forgotten():
    conversations = Conversations()
    for name in ("a", "b", "a", "c"):
        conversations.keep(query("?", conversation_id=name), limit=2)
    assert conversations.ids == {"a", "c"} and conversations.get("b") is None
    assert conversations.get("a").frame is FRAME and conversations.get("") is None
    assert conversations.forget("a") == 1 and conversations.forget("a") == 0 and conversations.forget() == 1
