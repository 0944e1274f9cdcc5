"""Whether a call may wait for the result here, or would keep the executor from ever receiving it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.executors import Executor

from lisa_ros.errors import BlockingCallError
from lisa_ros.rclpy_compat import is_in_callback, thread_count

_lock = threading.Lock()
_waiting: WeakKeyDictionary[Executor, int] = WeakKeyDictionary()  # callbacks that wait for a result


class ClientCallbackGroup(MutuallyExclusiveCallbackGroup):
    """All callbacks of one client, one at a time; knows which thread runs one.

    Attributes:
        thread: Identifier of the thread that runs a callback now; None where none does.
        lock: Held while a callback uses the client's entities, and while these are removed.
        is_closed: No callback may use the entities any more.
    """

    def __init__(self):
        """Without entities."""
        super().__init__()
        self.thread: int | None = None
        self.lock = threading.RLock()
        self.is_closed = False

    def beginning_execution(self, entity) -> bool:
        """As the base class does; called by the executor in the thread of the callback."""
        begins = super().beginning_execution(entity)
        if begins:
            self.thread = threading.get_ident()
        return begins

    def ending_execution(self, entity) -> None:
        """As the base class does."""
        self.thread = None
        super().ending_execution(entity)


@contextmanager
def waiting_for_result(executor: Executor | None, group: ClientCallbackGroup) -> Iterator[None]:
    """To be entered before a call waits for what an executor has to receive.

    Args:
        executor: The executor of the client's node; None where it has none yet.
        group: The client's callbacks.

    Raises:
        BlockingCallError: The call comes from a callback of that executor, and no thread would be left to receive; or
            from a callback of the client itself, which runs one at a time.
    """
    if group.thread == threading.get_ident():
        raise BlockingCallError(
            "a feedback or done callback of the client waits for a result that the client receives after it; ask with "
            "ask_async and a done callback there, or wait in another thread"
        )
    if executor is None or not is_in_callback(executor):
        yield
        return
    threads = thread_count(executor)
    with _lock:
        others = _waiting.get(executor, 0)
        if others + 1 >= threads:
            raise BlockingCallError(_remedy(executor, threads, others))
        _waiting[executor] = others + 1
    try:
        yield
    finally:
        with _lock:
            _waiting[executor] -= 1


def _remedy(executor: Executor, threads: int, others: int) -> str:
    name = type(executor).__name__
    if threads == 1:
        reason = f"a callback of the {name} that spins the client's node waits for a result that it has to receive"
    else:
        reason = f"{others + 1} callbacks would wait for results, and the {name} has {threads} threads: none is left"
    return (
        f"{reason}; use `await client.ask_async(...)` in an `async def` callback, ask_async with a done callback, a "
        "MultiThreadedExecutor with more threads, or a stand-alone client (without node=)"
    )
