"""A ROS graph of one program alone: isolated from others, with its output kept, and ended with the program."""

import os
import random
import signal
import socket
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lisa_ros import graph
from lisa_ros.errors import ConfigurationError, GraphEndedError
from lisa_ros.launcher import RunningGraph, without_colours

_DOMAINS = range(1, 101)  # ports of those above are among Linux's ephemeral ones
_RESERVATIONS: list[socket.socket] = []  # of domains, as long as this process lives


class Log:
    """Output of the processes: in a file, and its last lines for error messages. Used from any thread.

    Raises ConfigurationError where the file cannot be written.
    """

    def __init__(self, path: Path):
        try:
            self._file = path.open("w", encoding="utf-8")
        except OSError as error:
            raise ConfigurationError(f"cannot write to {path}: {error.strerror}") from error
        self._lock = threading.Lock()
        self.last: deque[str] = deque(maxlen=8)

    def write(self, name: str, line: str):
        """One line of a process."""
        with self._lock:
            self.last.append(f"[{name}] {without_colours(line)}")
            if not self._file.closed:
                self._file.write(self.last[-1] + "\n")
                self._file.flush()

    def close(self):
        """Ends the file."""
        with self._lock:
            self._file.close()


def check_running(running: list[RunningGraph], log: Log):
    """Raises GraphEndedError, with the last lines of output, where one of the processes has ended."""
    for part in running:
        if name := part.ended():
            raise GraphEndedError(
                f"the process {name} ended with status {part.status(name)}; the last output: {' | '.join(log.last)}"
            )


def isolate():
    """Sets loopback discovery and a free ROS domain: the program neither sees nor disturbs a robot in the network."""
    os.environ.update(
        ROS_DOMAIN_ID=str(reserve_domain()),
        ROS_AUTOMATIC_DISCOVERY_RANGE="LOCALHOST",  # Iron and newer
        ROS_LOCALHOST_ONLY="1",  # Humble
        **graph.environment(),
    )


def reserve_domain() -> int:
    """A ROS domain for this process alone.

    No participant listens there, and until the process ends an abstract socket reserves it: two programs that start
    at the same time never take the same one.

    Raises:
        ConfigurationError: All are in use.
    """
    domains = list(_DOMAINS)
    random.SystemRandom().shuffle(domains)  # whatever seed the program works with
    for domain in domains:
        reservation = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            reservation.bind(f"\0lisa_ros-domain-{domain}")
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                probe.bind(("", 7400 + 250 * domain + 10))  # the discovery port of a domain's first participant
        except OSError:
            reservation.close()
            continue
        _RESERVATIONS.append(reservation)
        return domain
    raise ConfigurationError("all ROS domains from 1 to 100 are in use on this machine: end programs that use them")


@contextmanager
def signals_as_interrupt() -> Iterator[None]:
    """The first SIGINT, SIGTERM or SIGHUP raises KeyboardInterrupt; further ones are ignored while processes end."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def interrupt(*_):
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
