"""The thread in which the model runs. No rclpy."""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress

from lisa_ros.errors import LisaError


class ThreadAbandonedError(LisaError):
    """The call was abandoned, because it or one before it did not return."""


class InferenceThread:
    """Runs calls one after the other in a thread of its own.

    A daemon thread, because a call may sit in a kernel or in a download for minutes and must not hold up the end of the
    process. A call that never returns cannot be ended in Python; `abandon` leaves it behind, and the caller continues
    with another InferenceThread.
    """

    def __init__(self, name: str):
        self._calls: queue.SimpleQueue = queue.SimpleQueue()
        self._lock = threading.Lock()  # makes the check whether it is abandoned and the queueing one step
        self._unsettled: set[Future] = set()
        self._abandoned = ""
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, call: Callable) -> Future:
        """Queues a call; the future gives its result or its exception.

        The future raises ThreadAbandonedError once the thread was abandoned, also if the call returns.
        """
        future: Future = Future()
        with self._lock:
            if not self._abandoned:
                self._unsettled.add(future)
                self._calls.put((call, future))
                return future
        future.set_exception(ThreadAbandonedError(self._abandoned))
        return future

    def abandon(self, reason: str):
        """Fails the call that runs and all that wait with ThreadAbandonedError; the thread ends after its call."""
        with self._lock:
            self._abandoned = reason
            unsettled = list(self._unsettled)
        for future in unsettled:
            self._settle(future, error=ThreadAbandonedError(reason))
        self._calls.put(None)

    def shutdown(self, timeout: float) -> bool:
        """Ends the thread after the calls in line. False where it is still busy after `timeout` seconds."""
        self._calls.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self):
        while (item := self._calls.get()) is not None:
            call, future = item
            if self._abandoned:
                return
            try:
                self._settle(future, call())
            except BaseException as error:  # noqa: BLE001 - the future raises it, in the thread that waits
                self._settle(future, error=error)
            del item, call, future  # a waiting thread must not keep a model alive through its last call

    def _settle(self, future: Future, result=None, error: BaseException | None = None):
        with self._lock:
            self._unsettled.discard(future)
        with suppress(InvalidStateError):  # the call returned after it was abandoned
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)
