import pytest

from lisa_ros.errors import InvalidQueryError
from lisa_ros.nodes.frame_buffer import Bundle
from lisa_ros.nodes.queries import ACTION, STANDING, TOPIC, Conversations, Query, QueryBoard, check_text
from lisa_ros.nodes.settings import Settings

pytestmark = pytest.mark.unit
BUNDLE = Bundle(1, 1, None)


def query(text, source=TOPIC, bundle=BUNDLE, **more):
    return Query(text, source, Settings(), 0, True, bundle=bundle, **more)


def test_newest_words_win_on_the_topic():
    board = QueryBoard()
    first, second, third = query("1"), query("2"), query("3")
    assert board.add(first) == [] and board.start_next() is first
    assert board.add(second) == [first] and first.cancel.is_set()
    first.finished = True
    assert board.add(third) == [second]
    assert board.start_next() is None  # the worker has not let go of the first
    board.worker_is_free()
    assert board.start_next() is third


def test_the_words_that_run_already_run_on():
    board = QueryBoard()
    first, again, third = query("the mug"), query("the mug"), query("the mug")
    board.add(first)
    board.start_next()
    assert board.add(again) == [] and not first.cancel.is_set()
    assert board.add(third) == [again], "one waits, about the newest image"
    board.worker_is_free()
    assert board.start_next() is third


def test_words_about_another_image_are_another_question():
    board = QueryBoard()
    first = query("the mug")
    board.add(first)
    board.start_next()
    assert board.add(query("the mug", image_stamp=5)) == [first]


def test_however_fast_words_come_every_third_query_runs_to_its_end():
    board, ended = QueryBoard(), 0
    for number in range(30):
        board.add(query(f"words {number}"))  # before each step of the worker, as from a topic at a high rate
        if board.running is not None and number % 2:
            ended += not board.running.cancel.is_set()
            board.running.finished = True
            board.worker_is_free()
        board.start_next()
    assert ended >= 4


def test_newer_words_take_the_place_in_line_and_the_patience_of_those_they_replace():
    board = QueryBoard()
    running, spoken, goal = query("r", ACTION), query("mug", bundle=None, seen=1.0), query("g", ACTION)
    board.add(running)
    board.start_next()
    board.add(spoken)
    board.add(goal)
    newer = query("fork", bundle=None)
    assert board.add(newer) == [spoken] and board.pending == [newer, goal]
    assert newer.waiting_since == spoken.waiting_since and newer.seen == 1.0


def test_goals_wait_in_turn_and_are_not_superseded():
    board = QueryBoard()
    goals = [query(str(n), ACTION) for n in range(3)]
    assert [board.add(goal) for goal in goals] == [[], [], []]
    spoken = query("words")
    assert board.add(spoken) == []
    order = []
    while (started := board.start_next()) is not None:
        order.append(started)
        board.worker_is_free()
    assert order == [*goals, spoken]


def test_the_standing_query_gives_way():
    board = QueryBoard()
    standing = query("all", STANDING)
    board.add(standing)
    board.start_next()
    goal = query("one", ACTION)
    assert board.gives_way and not board.idle
    assert board.add(goal) == [standing] and standing.cancel.is_set()
    assert not board.gives_way


def test_a_query_without_an_image_does_not_hold_up_the_others():
    board = QueryBoard()
    waiting, ready = query("waits", ACTION, bundle=None), query("ready", ACTION)
    board.add(waiting)
    board.add(ready)
    assert board.start_next() is ready and board.goals_waiting() == 1 and not board.idle


def test_all_that_owe_a_result_are_listed_once():
    board = QueryBoard()
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
    assert conversations.get("a").bundle is BUNDLE and conversations.get("") is None
    assert conversations.forget("a") == 1 and conversations.forget("a") == 0 and conversations.forget() == 1
