"""The client in a user's own node: every way to wait, and those that would wait for ever."""

import inspect
import threading
import time
from contextlib import contextmanager

import pytest
import rclpy
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import MultiThreadedExecutor, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter

from lisa_ros.client import PerceptionClient, QueryStatus
from lisa_ros.errors import BlockingCallError, ClientClosedError, LisaError, QueryTimeoutError

pytestmark = pytest.mark.ros


def events_executor(context):
    from rclpy.experimental import EventsExecutor

    return EventsExecutor(context=context)


EXECUTORS = {
    "events": events_executor,
    "single": lambda context: SingleThreadedExecutor(context=context),
    "two threads": lambda context: MultiThreadedExecutor(2, context=context),
    "multi": lambda context: MultiThreadedExecutor(3, context=context),
}


class User:
    """A node with a client, a way to run something once in a callback, and the outcome of that."""

    def __init__(self, context, namespace, executor, **options):
        self.node = Node("user", namespace=namespace, context=context)
        self.client = PerceptionClient("", node=self.node, discovery_timeout=30, **options)
        self.executor = executor
        self.outcomes = []
        executor.add_node(self.node)
        self._group = ReentrantCallbackGroup()

    def call_back(self, function):
        """Runs a function or coroutine function in a timer callback, once; its value or error is an outcome."""

        async def run_coroutine():
            timer.cancel()
            try:
                self.outcomes.append(await function())
            except LisaError as error:
                self.outcomes.append(error)

        def run_function():
            timer.cancel()
            self.attempt(function)

        is_coroutine = inspect.iscoroutinefunction(function)
        timer = self.node.create_timer(0.01, run_coroutine if is_coroutine else run_function, self._group)

    def attempt(self, function):
        """The value or the error of a function is an outcome."""
        try:
            self.outcomes.append(function())
        except LisaError as error:
            self.outcomes.append(error)

    def spin_until(self, count, timeout=40.0):
        end = time.monotonic() + timeout
        while len(self.outcomes) < count and time.monotonic() < end:
            self.executor.spin_once(timeout_sec=0.1)
        assert len(self.outcomes) == count, self.outcomes
        return self.outcomes


@pytest.fixture
def make_user(node):
    users, ros_context = [], rclpy.Context()
    rclpy.init(context=ros_context)

    def make(kind, **options):
        users.append(User(ros_context, node[1], EXECUTORS[kind](ros_context), **options))
        return users[-1]

    yield make
    for user in users:
        user.client.close()
        user.executor.shutdown()
        user.node.destroy_node()
    rclpy.try_shutdown(context=ros_context)


@contextmanager
def spinning(executor):
    thread = threading.Thread(target=executor.spin, daemon=True)
    thread.start()
    try:
        yield
    finally:
        executor.shutdown()
        thread.join(10)


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_await_in_callbacks(make_user, kind):
    user = make_user(kind)

    async def ask():
        first = await user.client.ask_async("red", timeout=20)
        both = [user.client.ask_async(words, timeout=20) for words in ("blue", "red and blue")]
        return [first, *[await handle for handle in both]]

    user.call_back(ask)
    (results,) = user.spin_until(1)
    assert [len(result.targets) for result in results] == [1, 1, 2]
    assert all(result.status is QueryStatus.OK and result.cloud is not None for result in results)


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_await_raises_what_went_wrong(make_user, kind):
    user = make_user(kind)

    async def ask():
        await user.client.ask_async("red", timeout=20)
        return await user.client.ask_async("sleep 9 red", timeout=0.7)

    user.call_back(ask)
    (error,) = user.spin_until(1)
    assert isinstance(error, QueryTimeoutError)


def test_waiting_in_a_timer_callback_of_several_threads(make_user):
    user = make_user("multi")
    user.call_back(lambda: user.client.ask("red", timeout=20))
    assert user.spin_until(1)[0].status is QueryStatus.OK
    for words in ("red", "blue"):  # three threads: two may wait
        user.call_back(lambda words=words: user.client.ask(words, timeout=20))
    assert {result.targets[0].phrase for result in user.spin_until(3)[1:]} == {"red", "blue"}


def test_waiting_in_a_callback_of_the_only_thread_is_an_error(make_user):
    user = make_user("single")
    started = time.monotonic()
    user.call_back(lambda: user.client.ask("red", timeout=20))
    (error,) = user.spin_until(1)
    assert isinstance(error, BlockingCallError) and "await client.ask_async" in str(error)
    assert "SingleThreadedExecutor" in str(error) and time.monotonic() - started < 3

    async def ask():
        return await user.client.ask_async("red", timeout=20)

    user.call_back(ask)
    assert user.spin_until(2)[1].status is QueryStatus.OK, "the client goes on"


def test_an_executor_of_events(make_user):
    pytest.importorskip("rclpy.experimental.events_executor")
    user = make_user("events")
    handle = user.client.ask_async("talk 9 red", timeout=20)
    handle.future.add_done_callback(lambda future: user.outcomes.append(future.result()))
    assert user.spin_until(1)[0].status is QueryStatus.OK and len(list(handle)) > 2
    user.call_back(lambda: user.client.ask("red", timeout=0.5))
    assert isinstance(user.spin_until(2)[1], BlockingCallError), "noticed after the timeout"


def test_waiting_in_a_coroutine_of_the_only_thread_is_an_error(make_user):
    user = make_user("single")

    async def ask():
        return user.client.ask("red", timeout=20)

    user.call_back(ask)
    assert isinstance(user.spin_until(1)[0], BlockingCallError)


def test_more_waiting_callbacks_than_threads_is_an_error(make_user):
    user = make_user("two threads")
    for _ in range(2):
        user.call_back(lambda: user.client.ask("sleep 0.5 red", timeout=20))
    kinds = {type(outcome).__name__: outcome for outcome in user.spin_until(2)}
    assert set(kinds) == {"BlockingCallError", "PerceptionResult"}
    assert "2 threads" in str(kinds["BlockingCallError"])
    user.call_back(lambda: user.client.ask("red", timeout=20))
    assert user.spin_until(3)[2].status is QueryStatus.OK


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_waiting_in_another_thread_than_the_one_that_spins(make_user, kind):
    user = make_user(kind)
    with spinning(user.executor):
        assert user.client.ask("red", timeout=20).status is QueryStatus.OK
        assert len(list(user.client.ask_async("talk 9 red", timeout=20))) > 2
        with pytest.raises(QueryTimeoutError):
            user.client.ask("sleep 9 red", timeout=0.5)


def test_a_node_that_nobody_spins_is_an_error(make_user):
    user = make_user("single")
    with pytest.raises(BlockingCallError, match="nothing spins it"):
        user.client.ask("red", timeout=0.5)
    handle = user.client.ask_async("red", timeout=20)
    rclpy.spin_until_future_complete(user.node, handle.future, user.executor, timeout_sec=20)
    assert handle.result().status is QueryStatus.OK


def test_callbacks_of_the_client_ask_on_and_do_not_wait(make_user):
    user = make_user("multi")

    def wait():
        user.attempt(lambda: user.client.ask("red", timeout=20))

    def on_done(future):
        wait()
        second = user.client.ask_async("blue", timeout=20)
        second.future.add_done_callback(lambda future: user.outcomes.append(future.result()))

    def on_feedback(feedback):
        if not user.outcomes:
            wait()

    user.client.ask_async("red", timeout=20, on_feedback=on_feedback).future.add_done_callback(on_done)
    feedback_error, done_error, result = user.spin_until(3)
    for error in (feedback_error, done_error):
        assert isinstance(error, BlockingCallError) and "feedback or done callback" in str(error)
    assert result.targets[0].phrase == "blue"


def test_stand_alone_clients_work_in_every_callback(make_user, node):
    user = make_user("single")
    with PerceptionClient(node[1], discovery_timeout=30) as lisa:
        user.call_back(lambda: lisa.ask("red", timeout=20))
        assert user.spin_until(1)[0].status is QueryStatus.OK
        handle = lisa.ask_async("red", timeout=20)
        handle.future.add_done_callback(lambda _: user.attempt(lisa.close))
        assert handle.result().status is QueryStatus.OK
        assert lisa.ask("red", timeout=20).status is QueryStatus.OK
        assert isinstance(user.outcomes[1], BlockingCallError) and "cannot close" in str(user.outcomes[1])


def test_closing_in_a_callback(make_user):
    user = make_user("single")
    handle = user.client.ask_async("red", timeout=20)
    pending = user.client.ask_async("sleep 9 red", timeout=20)

    def close(_):
        user.client.close()
        user.outcomes.append("closed")

    handle.future.add_done_callback(close)
    user.spin_until(1)
    with pytest.raises(ClientClosedError):
        pending.result()
    for _ in range(20):  # what was removed is not touched again
        user.executor.spin_once(timeout_sec=0.02)


def test_rclpy_that_is_shut_down_ends_the_waiting(make_user):
    user = make_user("single")
    handle = user.client.ask_async("sleep 3 red", timeout=30)
    end = time.monotonic() + 20
    while handle.stage is None and time.monotonic() < end:
        user.executor.spin_once(timeout_sec=0.05)
    assert handle.stage is not None
    rclpy.shutdown(context=user.node.context)
    with pytest.raises(ClientClosedError, match="shut down"):
        handle.result()


def test_timeouts_hold_while_a_simulated_clock_stands_still(make_user):
    user = make_user("single")
    user.node.set_parameters([Parameter("use_sim_time", value=True)])
    with spinning(user.executor):
        user.client.ask("red", timeout=20)
        with pytest.raises(QueryTimeoutError):
            user.client.ask("sleep 9 red", timeout=0.7)
