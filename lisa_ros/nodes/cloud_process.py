"""Clouds in a process of their own: open3d keeps Python's lock while it works, and the node has to answer meanwhile."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from concurrent.futures.process import BrokenProcessPool

from lisa_ros.errors import NoDepthError, QueryCancelled
from lisa_ros.nodes.clouds import CloudJob, Clouds, compute_clouds

_LOOK_UP = 0.05  # s between two looks at whether the query was cancelled


class CloudProcess:
    """Computes one job after the other; used by one thread. A process that died is replaced at the next job."""

    def __init__(self):
        self._pool: ProcessPoolExecutor | None = None

    def start(self) -> Future:
        """Starts the process; the future is done when it has loaded open3d."""
        self._pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=_end_with_parent)
        # A terminal's Ctrl-C goes to all processes; this one ends with its parent, after the last query's end.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return self._pool.submit(_load)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def stop(self):
        """Ends the process."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None

    def compute(self, job: CloudJob, cancelled: Callable[[], bool]) -> Clouds:
        """As `compute_clouds`; raises QueryCancelled as well."""
        if self._pool is None:
            self.start()
        try:
            future = self._pool.submit(compute_clouds, job)
            while True:
                try:
                    return future.result(_LOOK_UP)
                except NotYet:
                    if cancelled():
                        raise QueryCancelled("cancelled while the cloud was made") from None
        except BrokenProcessPool as error:
            self.stop()
            raise NoDepthError(
                "the process that makes clouds ended unexpectedly; the next query starts it anew"
            ) from error


def _end_with_parent():
    def watch():
        multiprocessing.parent_process().join()
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


def _load():
    import open3d  # noqa: F401 - takes seconds, which the first query should not
