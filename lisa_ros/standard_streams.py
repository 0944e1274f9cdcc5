"""Standard output as commands find it: any encoding, closed, a pipe that nobody reads any more, a full disk."""

import errno
import os
import signal
import sys
from collections.abc import Callable

_FULL = (errno.ENOSPC, errno.EDQUOT)


def guarded(command: Callable[[], int], program: str) -> int:
    """Runs a command and returns its exit status; what standard output is to blame for ends it without a traceback.

    Letters that the terminal's encoding lacks are escaped. Where the reader of the output has gone, the status is 141,
    as a shell tells SIGPIPE; a full disk is one line on standard error and status 2.
    """
    _prepare()
    try:
        try:
            status = command()
        except SystemExit:  # of argparse, which has printed
            sys.stdout.flush()
            raise
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        _write_no_more()
        return 128 + signal.SIGPIPE
    except OSError as error:
        if error.errno not in _FULL:
            raise
        _write_no_more()
        sys.stderr.write(f"{program}: cannot write {error.filename or 'the output'}: {error.strerror}\n")
        return 2


def _prepare() -> None:
    # Python has none where the descriptor is closed; the next file that is opened would get its number.
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - open until the process ends
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    if getattr(sys.stdout, "errors", None) in ("strict", "surrogateescape") and hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")


def _write_no_more() -> None:
    """Whatever is still to be written, also by the interpreter when it ends, goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
