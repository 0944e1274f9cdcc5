"""Computes clouds in a process of its own: numpy holds Python's lock meanwhile, and the node has to stay responsive."""

import multiprocessing
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import suppress
from multiprocessing.connection import Connection

import cv2

from lisa_ros.errors import LisaError, NoDepthError, QueryCancelled
from lisa_ros.nodes.perception.clouds.cloud_job import CloudJob, CloudResult, compute_clouds

_POLL = 0.05  # s between two checks for cancellation and for a process that hangs
_START_TIMEOUT = 180.0  # s to compile its kernels, which it does once, on a computer that is busy
_KILL_WAIT = 2.0  # s; longer only where the kernel itself holds the process


class CloudProcess:
    """Computes one job after the other; `compute` is called by one thread.

    A process that died, or that gives no sign of life for too long, is replaced.
    """

    def __init__(self):
        self._child: _WorkerProcess | None = None
        self._stopped = threading.Event()

    @property
    def pid(self) -> int | None:
        """Process id; None where none has been started."""
        return self._child and self._child.pid

    def start(self):
        """Starts the process, which then imports, and the first time compiles, what clouds need."""
        self._stopped.clear()
        self._replace()

    def stop(self):
        """Ends the process; a job that runs, and any later one, raises QueryCancelled. May be called by any thread."""
        self._stopped.set()
        if self._child is not None:
            self._child.kill()

    def compute(self, job: CloudJob, cancelled: Callable[[], bool], timeout: float) -> CloudResult:
        """As `compute_clouds`; timeout in s for a job, once the process has started.

        Raises QueryCancelled as well, and NoDepthError where the process ended or hung.
        """
        if self._child is None or not self._child.is_alive():
            self._replace()
        answer = self._child.submit(job)
        while not answer.done():
            if cancelled() or self._stopped.is_set():
                # Not waited for: the child's own thread takes the answer, or drops a job that has not had its turn.
                answer.cancel()
                raise QueryCancelled("cancelled while the cloud was made")
            if self._child.is_overdue(timeout):
                is_own = self._child.works_on(answer)
                self._replace()
                if is_own:
                    raise NoDepthError(
                        f"making the cloud took longer than {timeout:g} s (parameter cloud_timeout); the process that "
                        "makes clouds was started anew, the model is not concerned"
                    )
                answer = self._child.submit(job)  # the job of an earlier, cancelled query hung before it
            wait([answer], timeout=_POLL)
        if self._stopped.is_set():  # the process was ended, which its own thread takes for a death
            raise QueryCancelled("stopped while the cloud was made")
        return answer.result()

    def _replace(self):
        if self._child is not None:
            self._child.kill()
        self._child = _WorkerProcess()
        if self._stopped.is_set():  # by another thread, meanwhile
            self._child.kill()


class _WorkerProcess:
    """One process and the thread that talks to it.

    That thread alone touches the pipe: it hands over a job only after the answer to the one before was taken, so that
    neither side ever blocks on a full pipe while the other one does too, also when a query was cancelled meanwhile.

    A plain child with a pipe: those of `multiprocessing` import the program's main module, which may load a model.
    """

    def __init__(self):
        self._pipe, theirs = multiprocessing.Pipe()
        command = [sys.executable, "-m", __name__, str(theirs.fileno())]
        # A session of its own: a terminal's Ctrl-C is the parent's affair, and with it the pipe and the child end.
        self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], start_new_session=True)
        theirs.close()
        self._jobs: queue.SimpleQueue = queue.SimpleQueue()
        self._ended = False
        self._lock = threading.Lock()  # makes "has it ended?" and "line it up" one step
        self._current: Future | None = None
        self._due_since: float | None = time.monotonic()  # when it was given what it works on; None while it is idle
        threading.Thread(target=self._serve, name="cloud pipe", daemon=True).start()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def is_alive(self) -> bool:
        """Whether it still takes jobs."""
        return not self._ended and self._process.poll() is None

    def submit(self, job: CloudJob) -> Future:
        """Lines a job up. The future raises NoDepthError where the process ends first."""
        answer: Future = Future()
        with self._lock:
            if not self._ended:
                self._jobs.put((job, answer))
                return answer
        answer.set_exception(_ended_error())
        return answer

    def works_on(self, answer: Future) -> bool:
        """Whether the process has the job of this answer, or none yet because it does not start."""
        return self._current in (answer, None)

    def is_overdue(self, timeout: float) -> bool:
        """Whether it works on its job for longer than `timeout` s, or starts for longer than it ever should."""
        due = self._due_since
        limit = timeout if self._current is not None else max(timeout, _START_TIMEOUT)
        return due is not None and time.monotonic() - due > limit

    def kill(self):
        """Ends the process, and with it the thread; may be called by any thread, and again."""
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_KILL_WAIT)
        self._jobs.put(None)

    def _serve(self):
        answer = None
        try:
            self._pipe.recv()  # ready
            self._due_since = None
            while (item := self._jobs.get()) is not None:
                job, answer = item
                if not answer.set_running_or_notify_cancel():
                    continue
                self._current, self._due_since = answer, time.monotonic()
                self._pipe.send(job)
                outcome = self._pipe.recv()
                self._due_since = None
                if isinstance(outcome, Exception):
                    answer.set_exception(outcome)
                else:
                    answer.set_result(outcome)
        except (EOFError, OSError):
            pass  # the process has ended
        finally:
            self._pipe.close()  # an idle process ends with its pipe
            with self._lock:
                self._ended = True
            self._fail_owed(answer)

    def _fail_owed(self, current: Future | None):
        owed = [current] if current is not None and not current.done() else []
        with suppress(queue.Empty):
            while True:
                item = self._jobs.get_nowait()
                owed += [item[1]] if item is not None and item[1].set_running_or_notify_cancel() else []
        for answer in owed:
            answer.set_exception(_ended_error())


def _ended_error() -> NoDepthError:
    return NoDepthError("the process that makes clouds has ended; the next query starts it anew")


def serve(pipe: Connection):
    """The child: answers jobs until the parent is gone."""
    from lisa_ros.geometry.warming import warm_up  # numba, which the node itself does without

    cv2.setNumThreads(1)  # as in node_runner

    warm_up()
    with suppress(EOFError, OSError):
        pipe.send("ready")
        while True:
            pipe.send(_outcome(pipe.recv()))


def _outcome(job: CloudJob) -> CloudResult | Exception:
    try:
        return compute_clouds(job)
    except LisaError as error:
        return error
    except Exception as error:  # noqa: BLE001 - it is raised again in the parent, whose log it belongs to
        return RuntimeError(f"{type(error).__name__} while clouds were made: {error}")


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
