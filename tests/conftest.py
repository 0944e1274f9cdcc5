"""What every test shares: an isolated ROS graph, real processes that always end, the golden data's place."""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from lisa_ros.private_graph import reserve_domain

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))  # golden_variants


# Before anything imports rclpy or starts a process. A domain of this run's own and loopback discovery: tests neither
# see nor disturb a robot, another test run, or the person at this machine.
os.environ.update(
    ROS_DOMAIN_ID=str(reserve_domain()),
    ROS_AUTOMATIC_DISCOVERY_RANGE="LOCALHOST",  # Iron and newer
    ROS_LOCALHOST_ONLY="1",  # Humble
    ROS_PYTHON_CHECK_FIELDS="1",  # setters of messages check types, as they did up to Iron
    HF_HUB_OFFLINE="1",  # no test reaches for the network
    FASTDDS_DEFAULT_PROFILES_FILE=str(ROOT / "config" / "fastdds.xml"),  # as the launch file sets it
    PYTHONUNBUFFERED="1",
    OMP_NUM_THREADS="1",  # torch's threads would only get in each other's way
    OMP_WAIT_POLICY="PASSIVE",  # as the package sets it, also where a test imports torch first
)


# One profile for all property tests: on a machine that does other work too, how long an example takes says nothing.
# In CI (the variable that every service sets) the same examples each time, so that a failure is the change's own.
settings.register_profile(
    "lisa_ros", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize="CI" in os.environ
)
settings.load_profile("lisa_ros")


def pytest_addoption(parser):
    group = parser.getgroup("lisa_ros", "the phases of scripts/test.sh")
    group.addoption(
        "--phase",
        choices=("parallel", "alone"),
        help="run only the tests that may share the machine with others, or only those that need it for themselves "
        "(marker alone)",
    )
    group.addoption("--failures", type=Path, metavar="FILE", help="append a line for each failure to FILE")


def pytest_collection_modifyitems(config, items):
    phase = config.getoption("--phase")
    if phase is None:
        return
    wanted = {item: (item.get_closest_marker("alone") is not None) == (phase == "alone") for item in items}
    config.hook.pytest_deselected(items=[item for item in items if not wanted[item]])
    items[:] = [item for item in items if wanted[item]]
    items.sort(key=lambda item: item.get_closest_marker("ros") is None)  # long waits first: no worker ends much later


def pytest_terminal_summary(terminalreporter, config):
    file = config.getoption("--failures")
    failures = [report for kind in ("failed", "error") for report in terminalreporter.stats.get(kind, ())]
    if file is not None and failures and not hasattr(config, "workerinput"):  # a worker's are the controller's too
        with file.open("a") as lines:
            for report in failures:
                crash = getattr(report.longrepr, "reprcrash", None)
                reason = f" - {crash.message.splitlines()[0]}" if crash and crash.message else ""
                lines.write(f"FAILED {report.nodeid} ({report.when}){reason}\n")


def pytest_report_header():
    return f"ROS_DOMAIN_ID {os.environ['ROS_DOMAIN_ID']}, loopback only"


class Process:
    """A running program; its output collects in `lines` as it comes."""

    def __init__(self, command, environment):
        self.command = [str(word) for word in command]
        self.lines: list[str] = []
        # a session of its own: `stop` reaches grandchildren, and a Ctrl-C at pytest does not overtake it
        self._popen = subprocess.Popen(
            self.command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            env=environment,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self._popen.stdout:
            self.lines.append(line.rstrip("\n"))

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        return self._popen.poll()

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def wait_for(self, text: str, timeout: float = 30.0) -> str:
        """The first line that holds `text`; fails with the whole output when it does not come or the process ends."""
        deadline = time.monotonic() + timeout
        seen = 0
        while True:
            ended = self.returncode is not None
            while seen < len(self.lines):
                if text in self.lines[seen]:
                    return self.lines[seen]
                seen += 1
            if ended and not self._reader.is_alive():
                pytest.fail(f"{self.command} ended with {self.returncode} before it wrote {text!r}:\n{self.output}")
            if time.monotonic() > deadline:
                pytest.fail(f"{self.command} did not write {text!r} in {timeout} s:\n{self.output}")
            time.sleep(0.02)

    def wait(self, timeout: float = 30.0) -> int:
        """Return code of a program that ends by itself."""
        try:
            code = self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            pytest.fail(f"{self.command} still runs after {timeout} s:\n{self.output}")
        self._reader.join(5.0)
        return code

    def signal(self, number: int):
        """Sends a signal to the program alone, not to its children."""
        self._popen.send_signal(number)

    def stop(self, timeout: float = 10.0) -> int:
        """Ends it and whatever it has started: SIGINT, as Ctrl-C does, then SIGKILL. Its return code."""
        for number, patience in ((signal.SIGINT, timeout), (signal.SIGKILL, 5.0)):
            if self.returncode is None:
                self._popen.send_signal(number)
                try:
                    self._popen.wait(patience)
                except subprocess.TimeoutExpired:
                    continue
        self._kill_group()
        self._reader.join(5.0)
        return self._popen.returncode

    def _kill_group(self):
        with contextlib.suppress(ProcessLookupError):  # nothing of it is left, as it should be
            os.killpg(self._popen.pid, signal.SIGKILL)


@pytest.fixture
def start_process():
    """`start_process(command, **environment)` -> Process; every one is ended after the test, whatever happened."""
    running: list[Process] = []

    def start(command, **environment) -> Process:
        process = Process(command, {**os.environ, **{name: str(value) for name, value in environment.items()}})
        running.append(process)
        return process

    yield start
    for process in reversed(running):
        process.stop(timeout=5.0)


@pytest.fixture
def start_python(start_process):
    """`start_python("lisa_ros.nodes.simulation.camera", "--ros-args", ...)` runs a module with this interpreter."""
    return lambda module, *arguments, **environment: start_process(
        [sys.executable, "-m", module, *arguments], **environment
    )


@contextlib.contextmanager
def _rclpy_context():
    rclpy = pytest.importorskip("rclpy")
    context = rclpy.Context()
    rclpy.init(context=context)
    yield context
    rclpy.try_shutdown(context=context)


@pytest.fixture
def ros_context():
    """An rclpy context of the test's own, shut down afterwards."""
    with _rclpy_context() as context:
        yield context


@pytest.fixture(scope="session")
def shared_context():
    """An rclpy context for nodes that outlive a test."""
    with _rclpy_context() as context:
        yield context


@pytest.fixture(scope="session")
def golden() -> Path:
    """Directory of reference data from the original code: LISA_ROS_GOLDEN, else the copy in the repository."""
    return Path(os.environ.get("LISA_ROS_GOLDEN", ROOT / "tests" / "golden"))


@pytest.fixture(scope="session")
def reference(golden) -> Path:
    """Directory of the checkpoint with tiny sizes; golden may name a folder of several variants, or one of them."""
    for folder in (golden / "c_tiny", golden):
        if (folder / "lisa_hf").exists():
            return folder
    pytest.skip(f"no reference checkpoint in {golden}")


_LOCKS_BEFORE = pytest.StashKey[set]()


def pytest_sessionstart(session):
    session.config.stash[_LOCKS_BEFORE] = _fastdds_locks()


def pytest_sessionfinish(session):
    """Killed processes leave Fast DDS memory in /dev/shm: what came during this run and has lost its owner goes."""
    for lock in _fastdds_locks() - session.config.stash[_LOCKS_BEFORE]:
        if not _is_held(lock):
            name = lock.name.removesuffix("_el")
            for path in (lock.with_name(name), lock.with_name(f"sem.{name}_mutex"), lock):
                path.unlink(missing_ok=True)


def _fastdds_locks() -> set[Path]:
    return set(Path("/dev/shm").glob("fast*_el"))


def _is_held(lock: Path) -> bool:
    """Fast DDS keeps an flock on this file for as long as the owner of the memory lives."""
    try:
        with lock.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, FileNotFoundError, PermissionError):
        return True
    return False
