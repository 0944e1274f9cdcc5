"""The perception node ends, hangs, leaves the state `active` or comes late, while a client asks."""

import contextlib
import signal
import time

import pytest

from lisa_ros.client import PerceptionClient, QueryStage, QueryStatus
from lisa_ros.errors import GoalRejectedError, QueryTimeoutError, ServerLostError, ServerUnavailableError

pytestmark = [pytest.mark.ros, pytest.mark.timeout(240)]


def wait_for(handle, stage):
    assert any(feedback.stage is stage for feedback in handle), handle.result()


def test_a_node_that_is_killed_and_started_anew(start_node):
    process, namespace, camera = start_node()
    with PerceptionClient(namespace, discovery_timeout=60) as lisa:
        assert lisa.ask("red", timeout=30).status is QueryStatus.OK
        handles = [lisa.ask_async(words, timeout=200) for words in ("sleep 190 red", "blue")]
        wait_for(handles[0], QueryStage.GENERATING)
        process.process.kill()
        process.process.wait()
        again, _, _ = start_node(namespace, camera)  # before DDS has noticed the end of the first one
        for handle in handles:
            with pytest.raises(ServerLostError, match="ended or was started anew"):
                handle.result()
        assert lisa.ask("red", timeout=30).status is QueryStatus.OK
        assert again.process.poll() is None


def test_a_node_that_ends_in_order_leaves_nobody_waiting(start_node):
    process, namespace, _ = start_node()
    with PerceptionClient(namespace, discovery_timeout=20) as lisa:
        handle = lisa.ask_async("sleep 190 red", timeout=200)
        wait_for(handle, QueryStage.GENERATING)
        process.process.send_signal(signal.SIGINT)
        with contextlib.suppress(ServerLostError):  # where it ended before its last word arrived
            assert handle.result().status is QueryStatus.CANCELLED
        process.process.wait(20)
        with pytest.raises(ServerUnavailableError, match=namespace):
            lisa.ask("red", timeout=30)


def test_a_node_that_hangs_and_comes_back(start_node):
    process, namespace, _ = start_node()
    with PerceptionClient(namespace, discovery_timeout=20) as lisa:
        assert lisa.ask("red", timeout=30).status is QueryStatus.OK
        process.process.send_signal(signal.SIGSTOP)
        try:
            with pytest.raises(QueryTimeoutError, match="without any feedback"):
                lisa.ask("blue", timeout=2)
            with (
                PerceptionClient(namespace, discovery_timeout=3) as other,
                pytest.raises(ServerUnavailableError, match=f"{namespace}/segment"),
            ):
                other.ask("blue", timeout=30)
        finally:
            process.process.send_signal(signal.SIGCONT)
        assert lisa.ask("red", timeout=60).status is QueryStatus.OK


def test_a_node_that_leaves_the_active_state(start_node):
    _, namespace, robot = start_node()
    with PerceptionClient(namespace, discovery_timeout=20) as lisa:
        handle = lisa.ask_async("sleep 100 red", timeout=110)
        wait_for(handle, QueryStage.GENERATING)
        assert robot.transition("deactivate", 30)
        assert handle.result().status is QueryStatus.CANCELLED
        with pytest.raises(GoalRejectedError, match="not active"):
            lisa.ask("red", timeout=20)
        assert robot.transition("activate", 30)
        end = time.monotonic() + 30
        while lisa.ask("red", timeout=20).status is not QueryStatus.OK:
            assert time.monotonic() < end


def test_a_query_waits_for_a_node_that_comes_late(start_node):
    namespace = "/late"
    with PerceptionClient(namespace, discovery_timeout=100) as lisa:
        handle = lisa.ask_async("red", timeout=110)
        time.sleep(0.5)
        assert not handle.done()
        start_node(namespace, answers=False, image_timeout=10.0)
        try:
            assert handle.result().query == "red"
        except GoalRejectedError:
            assert lisa.ask("red", timeout=60).query == "red"  # it was there before it was active


def test_a_goal_that_a_node_takes_after_the_timeout_is_cancelled(start_node):
    process, namespace, robot = start_node()
    with PerceptionClient(namespace, discovery_timeout=20) as lisa:
        assert lisa.ask("red", timeout=30).status is QueryStatus.OK
        process.process.send_signal(signal.SIGSTOP)
        try:
            with pytest.raises(QueryTimeoutError):
                lisa.ask("sleep 60 blue", timeout=0.2)
        finally:
            process.process.send_signal(signal.SIGCONT)
        assert lisa.ask("red", timeout=20).status is QueryStatus.OK, "the node is free again"
        assert robot.until(lambda: robot.results_of("sleep 60 blue"))
        assert [result.status for result in robot.results_of("sleep 60 blue")] == [QueryStatus.CANCELLED]
