"""One run in a directory at a time."""

import errno
import fcntl
import os
import socket
import sys
from pathlib import Path

from training.errors import TrainingError

LOCK = "run.lock"


class RunLock:
    """An exclusive lock on a run's directory, that ends with the process, however it ends; also across NFS."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / LOCK
        self._file = None

    def acquire(self) -> None:
        """Takes the lock. Raises TrainingError naming the process that has it; OSError if the file cannot be made.

        On a file system without locks, a warning is printed on stderr.
        """
        file = open(self._path, "a+", encoding="utf-8")  # noqa: SIM115 - held as long as the lock
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # of the process: the loader's workers do not inherit it
        except OSError as error:
            file.seek(0)
            owner = file.read().strip() or "another process"
            file.close()
            if error.errno in (errno.EACCES, errno.EAGAIN):
                raise TrainingError(
                    f"{self._path.parent} is in use by {owner}: two runs in one run_dir would overwrite one another. "
                    "Wait for its end, end it, or name another run_dir"
                ) from None
            reason = f"cannot be locked ({error.strerror})"
            print(f"warning: {self._path.parent} {reason}; take care that no other run uses it", file=sys.stderr)
            return
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        self._file = file

    def release(self) -> None:
        """Gives the lock back; nothing happens without one."""
        if self._file is not None:
            self._file.close()
            self._file = None
