"""`lisa-ros up`: the graph of graph.py as child processes, for machines that have no `ros2 launch`."""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lisa_ros import cpu_threads, graph
from lisa_ros.errors import ConfigurationError
from lisa_ros.middleware import check_middleware, shared_memory_note
from lisa_ros.writable_folders import ensure_ros_log

SHUTDOWN = ((signal.SIGINT, 10.0), (signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0))  # and the time to end after each, s
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_ENDED_BY_US = (128 + signal.SIGINT, 128 + signal.SIGTERM)


def add_arguments(parser: argparse.ArgumentParser):
    """Arguments of `lisa-ros up`: those of `ros2 launch lisa_ros perception.launch.py`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "arguments, an empty one is left to the node:\n" + "\n".join(
        f"  {argument.name + ':=' + argument.default:<24} {argument.about}" for argument in graph.ARGUMENTS
    )
    parser.add_argument("arguments", nargs="*", metavar="name:=value", help="launch arguments, see below")


def run(args: argparse.Namespace) -> int:
    """Runs the graph until a signal or the end of one process.

    Exit status: that of the process which ended by itself. After a signal 0, unless a process crashed or had to be
    killed. Raises ConfigurationError for arguments that are no good.
    """
    return run_processes(graph.processes(parse_arguments(args.arguments)))


def run_processes(processes: list[graph.Process]) -> int:
    """Runs processes until a signal or the end of one of them. Returns and raises as `run`."""
    prepare_machine(len(processes), lambda line: _print_line("up", line))
    running = RunningGraph(processes, write=_print_line)
    stop = threading.Event()
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in signals}
    try:
        with running:
            while not stop.wait(0.1) and not running.ended():
                pass
            name = running.ended()
            if name:
                _print_line("up", f"{name} ended with exit status {running.status(name)}; ending the rest")
        if name:
            return running.status(name)
        crashes = (status for name in running.names if (status := running.status(name)) > 128)
        return next((status for status in crashes if status not in _ENDED_BY_US), 0)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def parse_arguments(arguments: list[str]) -> dict[str, str]:
    """["name:=value", ...] to a mapping; raises ConfigurationError for another form."""
    pairs = [argument.partition(":=") for argument in arguments]
    for argument, (name, separator, _) in zip(arguments, pairs, strict=True):
        if not (name and separator):
            raise ConfigurationError(f"{argument!r} is not of the form name:=value")
    return {name: value for name, _, value in pairs}


class RunningGraph:
    """Processes of a graph between __enter__ and __exit__.

    Each has a session of its own, so that a Ctrl-C reaches it once, through this program.
    __enter__ raises ConfigurationError where a process cannot be started.
    write(process name, line) gets every line of output, from threads of its own.
    """

    def __init__(self, processes: list[graph.Process], write):
        self._processes = processes
        self._write = write
        self._children: dict[str, subprocess.Popen] = {}
        self._readers: list[threading.Thread] = []

    def __enter__(self) -> "RunningGraph":
        check_middleware()
        try:
            self._folder = tempfile.TemporaryDirectory(prefix="lisa_ros_")
            self._start_all()
        except OSError as error:  # a full disk, no process more
            raise ConfigurationError(f"the graph cannot start: {error}") from error
        return self

    def __exit__(self, *_):
        try:
            _end(list(self._children.values()))
            for reader in self._readers:
                reader.join(2.0)
        finally:
            self._folder.cleanup()

    @property
    def names(self) -> list[str]:
        """The names of all processes."""
        return list(self._children)

    def ended(self) -> str | None:
        """Name of a process that has ended, if there is one."""
        return next((name for name, child in self._children.items() if child.poll() is not None), None)

    def status(self, name: str) -> int | None:
        """Exit status as a shell counts it (128 + signal); None while the process runs."""
        code = self._children[name].poll()
        return 128 - code if code is not None and code < 0 else code

    def _start_all(self):
        try:
            for process in self._processes:
                self._start(process)
        except BaseException:
            self.__exit__()
            raise

    def _start(self, process: graph.Process):
        with _signals_deferred():
            child = subprocess.Popen(
                command(process, Path(self._folder.name)),
                env=_child_environment(),
                start_new_session=True,
                text=True,
                errors="replace",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            self._children[process.name] = child
        reader = threading.Thread(target=self._read, args=(process.name, child), daemon=True)
        reader.start()
        self._readers.append(reader)

    def _read(self, name: str, child: subprocess.Popen):
        for line in child.stdout:
            # Also where the output cannot be written (a full disk, a closed terminal): a child blocks on a pipe
            # that is not read.
            with suppress(OSError):
                self._write(name, line.rstrip("\n"))


@contextmanager
def _signals_deferred() -> Iterator[None]:
    """Python's handlers of signals run after the block: an interrupt inside Popen would lose the child it started."""
    if threading.current_thread() is not threading.main_thread():  # handlers run in the main thread alone
        yield
        return
    pending = []
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    # Those that are ignored stay so, for the child inherits it.
    handlers = {number: signal.getsignal(number) for number in numbers if callable(signal.getsignal(number))}
    for number in handlers:
        signal.signal(number, lambda received, _: pending.append(received))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number in dict.fromkeys(pending):
            signal.raise_signal(number)


def command(process: graph.Process, folder: Path) -> list[str]:
    """Command line of a process; what does not fit into one is written to a file in `folder`."""
    namespace = "/" + process.namespace.strip("/")
    arguments = ["-r", f"__node:={process.name}", "-r", f"__ns:={namespace}", "--log-level", process.log_level]
    for name, topic in process.remappings:
        arguments += ["-r", f"{name}:={topic}"]
    for path in process.parameter_files:
        arguments += ["--params-file", str(path)]
    if process.parameters:
        # Under the node's full name, as launch_ros does it: stronger than any entry of the files, whose names may be
        # wildcards. JSON is YAML that quotes every string: `model:=7` stays a name.
        full_name = f"{namespace.rstrip('/')}/{process.name}"
        path = folder / f"{process.name}.yaml"
        path.write_text(json.dumps({full_name: {"ros__parameters": dict(process.parameters)}}))
        arguments += ["--params-file", str(path)]
    return [sys.executable, "-m", process.module, "--ros-args", *arguments]


def _child_environment() -> dict[str, str]:
    environment = {**os.environ, **graph.environment(), **cpu_threads.environment()}
    environment |= {"PYTHONUNBUFFERED": "1", graph.PARENT: str(os.getpid())}
    if sys.stdout.isatty():
        environment.setdefault("RCUTILS_COLORIZED_OUTPUT", "1")
    if "AMENT_PREFIX_PATH" not in environment:  # ROS from wheels: packages lie in the virtual environment
        environment["AMENT_PREFIX_PATH"] = sys.prefix
    return environment


def _end(children: list[subprocess.Popen]):
    for number, timeout in SHUTDOWN:
        for child in children:
            if child.poll() is None:
                child.send_signal(number)
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and any(child.poll() is None for child in children):
            time.sleep(0.05)


def prepare_machine(processes: int, write) -> None:
    """Makes ROS' log folder writable, and passes warnings about this machine to write(line)."""
    for note in (ensure_ros_log(), shared_memory_note(processes)):
        if note:
            write(note)


def without_colours(line: str) -> str:
    """A line without a terminal's colour codes, which Fast DDS writes wherever its output goes."""
    return _COLOUR.sub("", line)


def _print_line(name: str, line: str):
    if not sys.stdout.isatty():
        line = without_colours(line)
    encoding = sys.stdout.encoding or "utf-8"  # logs may hold any script, and a terminal may not know UTF-8
    try:
        print(f"[{name}] {line}".encode(encoding, "backslashreplace").decode(encoding), flush=True)
    except BrokenPipeError:  # `lisa-ros up | head`: the graph keeps running, and Python's last flush needs a file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
