"""What ends a run early: SIGTERM of a cluster, Ctrl-C of a person, a data loader's worker that was killed."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from training.errors import TrainingError


@contextmanager
def stop_requests() -> Iterator[list[int]]:
    """A list that gets the number of each SIGTERM or SIGINT that comes meanwhile; a second SIGINT interrupts."""
    received: list[int] = []

    def note(number: int, frame: object) -> None:
        if number == signal.SIGINT and number in received:
            raise KeyboardInterrupt
        received.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def raise_on_dead_worker() -> Iterator[None]:
    """Raises TrainingError for a killed worker of the data loader, wherever the run is when it shows.

    PyTorch says so by a RuntimeError; a tensor that is just being fetched from the worker's shared memory shows it
    first, as a connection that broke.
    """
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise _dead_worker(str(error).strip().splitlines()[0]) from error
    except (ConnectionError, EOFError) as error:
        raise _dead_worker(f"a DataLoader worker is gone ({type(error).__name__})") from error


def _dead_worker(sign: str) -> TrainingError:
    return TrainingError(
        f"{sign}: a process that prepares batches was killed, mostly for want of memory; lower batch.workers, and "
        "start the same command again"
    )
