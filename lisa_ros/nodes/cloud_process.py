"""Clouds in a process of their own: numpy keeps Python's lock while it works, and the node has to answer meanwhile."""

import multiprocessing
import subprocess
import sys
from collections.abc import Callable
from itertools import count
from multiprocessing.connection import Connection

from lisa_ros.errors import LisaError, NoDepthError, QueryCancelled
from lisa_ros.geometry.warming import warm_up
from lisa_ros.nodes.clouds import CloudJob, Clouds, compute_clouds

_LOOK_UP = 0.05  # s between two looks at whether the query was cancelled


class CloudProcess:
    """Computes one job after the other; used by one thread. A process that died is replaced at the next job.

    A plain child with a pipe: those of `multiprocessing` import the program's main module, which may load a model.
    """

    def __init__(self):
        self._child: subprocess.Popen | None = None
        self._pipe: Connection | None = None
        self._numbers = count()

    def start(self):
        """Starts the process, which goes on to load what clouds need."""
        self.stop()
        self._pipe, theirs = multiprocessing.Pipe()
        command = [sys.executable, "-m", __name__, str(theirs.fileno())]
        # A session of its own: a terminal's Ctrl-C is the parent's affair, and with it the pipe and the child end.
        self._child = subprocess.Popen(command, pass_fds=[theirs.fileno()], start_new_session=True)
        theirs.close()

    def stop(self):
        """Ends the process."""
        if self._child is not None:
            self._pipe.close()
            self._child.kill()
            self._child.wait()
            self._child = self._pipe = None

    def compute(self, job: CloudJob, cancelled: Callable[[], bool]) -> Clouds:
        """As `compute_clouds`; raises QueryCancelled as well."""
        if self._child is None:
            self.start()
        number = next(self._numbers)
        try:
            self._pipe.send((number, job))
            outcome = self._receive(number, cancelled)
        except (EOFError, OSError) as error:
            self.stop()
            raise NoDepthError("the process that makes clouds has ended; the next query starts it anew") from error
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _receive(self, number: int, cancelled: Callable[[], bool]) -> Clouds | Exception:
        while True:
            if self._pipe.poll(_LOOK_UP):
                answered, outcome = self._pipe.recv()
                if answered == number:  # and not one that nobody waited for, because it was cancelled
                    return outcome
            elif cancelled():
                raise QueryCancelled("cancelled while the cloud was made")


def serve(pipe: Connection):
    """The child: answers jobs until the parent is gone."""
    warm_up()
    while True:
        try:
            number, job = pipe.recv()
        except EOFError:
            return
        pipe.send((number, _outcome(job)))


def _outcome(job: CloudJob) -> Clouds | Exception:
    try:
        return compute_clouds(job)
    except LisaError as error:
        return error
    except Exception as error:  # noqa: BLE001 - it is raised again in the parent, whose log it belongs to
        return RuntimeError(f"{type(error).__name__} while clouds were made: {error}")


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
