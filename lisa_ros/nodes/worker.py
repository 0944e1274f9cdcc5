"""One thread that owns the model. No rclpy."""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future


class Worker:
    """Runs calls one after the other in a thread of its own.

    A daemon thread, because a call may sit in a kernel or in a download for minutes and must not hold up the end of the
    process.
    """

    def __init__(self, name: str):
        self._calls: queue.SimpleQueue = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, call: Callable) -> Future:
        """Lines a call up; the future gives its result or its exception."""
        future: Future = Future()
        self._calls.put((call, future))
        return future

    def close(self, timeout: float) -> bool:
        """Ends the thread after the calls in line. False where it is still busy after `timeout` seconds."""
        self._calls.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self):
        while (item := self._calls.get()) is not None:
            call, future = item
            try:
                future.set_result(call())
            except BaseException as error:  # noqa: BLE001 - it is the future's to raise, in the thread that asks
                future.set_exception(error)
            del item, call, future  # a waiting thread must not keep a model alive through its last call
