"""`lisa-ros up` with real node processes."""

import errno
import io
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

import pytest

from lisa_ros import launcher
from lisa_ros.errors import ConfigurationError
from lisa_ros.graph import Process
from lisa_ros.private_graph import signals_as_interrupt

pytestmark = pytest.mark.ros

PATIENCE = 60.0  # s; importing the nodes takes seconds on a busy machine
# Unconfigured, so that no weights are loaded: what is tested is the launcher.
GRAPH = ("camera:=simulator", "autostart:=false", "model:=7", "namespace:=robot1/lisa")


@pytest.fixture
def up(start_process):
    """Starts `lisa-ros up` with arguments."""
    return lambda *arguments: start_process([sys.executable, "-m", "lisa_ros", "up", *arguments])


def children(pid: int) -> dict[str, int]:
    """Node modules that a process has started -> process id."""
    found = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(status.read_text().rpartition(")")[2].split()[1])
            words = (status.parent / "cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent == pid and b"-m" in words:
            found[words[words.index(b"-m") + 1].decode()] = int(status.parent.name)
    return found


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def parameter(context, node_name: str, name: str):
    """The value of another node's parameter, through its service."""
    from rcl_interfaces.srv import GetParameters
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.node import Node

    node = Node("asker", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    client = node.create_client(GetParameters, f"{node_name}/get_parameters")
    assert client.wait_for_service(PATIENCE), f"{node_name} is not there"
    future = client.call_async(GetParameters.Request(names=[name]))
    executor.spin_until_future_complete(future, PATIENCE)
    assert future.done(), f"{node_name} does not answer"
    node.destroy_node()
    return future.result().values[0]


def test_starts_the_graph_and_ends_it_on_interrupt(up, ros_context):
    process = up(*GRAPH)
    model = parameter(ros_context, "/robot1/lisa/perception", "model")
    assert (model.type, model.string_value) == (4, "7"), "words of a number stay words"
    parameter(ros_context, "/robot1/lisa/camera", "use_sim_time")
    nodes = children(process.pid)
    assert set(nodes) == {"lisa_ros.nodes.perception", "lisa_ros.nodes.simulation.camera"}

    process.signal(signal.SIGINT)
    assert process.wait(PATIENCE) == 0, process.output
    assert not any(is_running(pid) for pid in nodes.values())
    assert all(line.startswith(("[perception] ", "[camera] ")) for line in process.lines if line), process.output


def test_nodes_end_with_a_launcher_that_is_killed(up, ros_context):
    """As the out-of-memory killer does it. A node left behind would hold the GPU, in a domain that nobody knows."""
    process = up(*GRAPH)
    for name in ("perception", "camera"):
        parameter(ros_context, f"/robot1/lisa/{name}", "use_sim_time")
    nodes = children(process.pid)
    assert set(nodes) == {"lisa_ros.nodes.simulation.camera", "lisa_ros.nodes.perception"}
    os.kill(process.pid, signal.SIGKILL)
    deadline = time.monotonic() + 30.0
    while any(map(is_running, nodes.values())) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(is_running, nodes.values()))


def test_the_end_of_one_process_ends_the_graph(up):
    process = up(*GRAPH)
    deadline = time.monotonic() + PATIENCE
    while len(nodes := children(process.pid)) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(nodes["lisa_ros.nodes.simulation.camera"], signal.SIGKILL)
    assert process.wait(PATIENCE) == 128 + signal.SIGKILL
    assert "[up] camera ended with exit status 137; ending the rest" in process.lines
    assert not any(is_running(pid) for pid in nodes.values())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["modle:=x"], "did you mean model?"),
        (["model=x"], "not of the form name:=value"),
        (["params_file:=/nonexistent.yaml"], "/nonexistent.yaml"),
    ],
)
def test_wrong_arguments_end_at_once_with_one_line(up, arguments, words):
    process = up(*arguments)
    assert process.wait(PATIENCE) == 2
    assert len(process.lines) == 1
    assert words in process.lines[0]


def talkative(*lines: str) -> Process:
    """A node's process that writes lines and, once somebody has taken all of them, ends with status 7."""
    program = f"import sys; print('\\n'.join({lines!r}), flush=True); sys.exit(7)"
    return Process("talker", program, "talker_node", "lisa")


@pytest.fixture
def run_talker(monkeypatch):
    """run_talker(lines, write) -> status, None where it still writes after a while."""
    monkeypatch.setattr(launcher, "command", lambda process, folder: [sys.executable, "-c", process.module])

    def run(lines, write):
        with launcher.RunningGraph([talkative(*lines)], write) as running:
            deadline = time.monotonic() + 10.0
            while not running.ended() and time.monotonic() < deadline:
                time.sleep(0.02)
            return running.status("talker")

    return run


def test_nobody_blocks_on_words_that_cannot_be_written(run_talker):
    def write(name, line):
        raise OSError("no space left on device")

    assert run_talker(["a long line " * 100] * 100, write) == 7


def test_a_full_disk_is_named_and_leaves_nothing_behind(monkeypatch, tmp_path):
    def no_space(process, folder):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(launcher, "command", no_space)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    graph = launcher.RunningGraph([talkative()], print)
    with pytest.raises(ConfigurationError, match=r"cannot start.*No space left"), graph:
        pass
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(ConfigurationError, match="nowhere"), graph:
        pass


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_a_process_is_started_leaves_none_behind(monkeypatch, number):
    """It comes when the child is there and its starter does not know of it yet, which Popen gives time for."""
    started = []

    def popen(*arguments, **options):
        started.append(real(*arguments, **options))
        os.kill(os.getpid(), number)
        time.sleep(0.1)  # Python's handler would run now
        return started[-1]

    real = launcher.subprocess.Popen
    monkeypatch.setattr(launcher, "command", lambda process, folder: ["sleep", "60"])
    monkeypatch.setattr(launcher.subprocess, "Popen", popen)
    try:
        with signals_as_interrupt():
            with pytest.raises(KeyboardInterrupt), launcher.RunningGraph([talkative()], print):
                pytest.fail("the signal got lost")
            assert [child.poll() for child in started] == [-signal.SIGINT]
    finally:
        for child in started:
            child.kill()


def test_words_of_any_script_are_printed_on_any_terminal(run_talker, monkeypatch):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    assert run_talker(["где банан"], launcher._print_line) == 7
    assert terminal.buffer.getvalue() == b"[talker] \\u0433\\u0434\\u0435 \\u0431\\u0430\\u043d\\u0430\\u043d\n"


def test_the_graph_outlives_who_reads_its_output(start_process):
    """As `lisa-ros up | head -1` does it."""
    program = (
        "import sys, time; from lisa_ros.launcher import _print_line\n"
        "for number in range(5): _print_line('node', str(number)); time.sleep(0.2)\n"
        "print('still there', file=sys.stderr)"
    )
    process = start_process(["bash", "-c", '"$0" -c "$1" | head -1; exit ${PIPESTATUS[0]}', sys.executable, program])
    assert process.wait(PATIENCE) == 0
    assert process.lines == ["[node] 0", "still there"]


def test_a_parameter_out_of_its_limits_ends_the_graph(up, tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("/**:\n  ros__parameters:\n    buffer_size: -1\n")
    process = up(f"params_file:={path}")
    assert process.wait(PATIENCE) == 2
    assert "buffer_size" in process.output
