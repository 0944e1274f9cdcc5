"""A machine that is not as it should be: no home, a read-only checkout, little shared memory, folders of other users.

Places in /proc stand for those that cannot be written: nobody can, not even root.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lisa_ros import launcher, middleware, writable_folders
from lisa_ros.commands.common import output_directory
from lisa_ros.errors import ConfigurationError
from lisa_ros.private_graph import Log
from lisa_ros.writable_folders import ensure_ros_log, private_folder

NOWHERE = "/proc/nowhere"
RED = "\x1b[37;1m2026-11-28 \x1b[31;1m[RTPS_TRANSPORT_SHM Error] Failed\x1b[m"


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """The system's temporary folder, for this test; ROS' and numba's variables as the machine has them."""
    monkeypatch.setattr(writable_folders.tempfile, "tempdir", str(tmp_path))
    for name in ("ROS_LOG_DIR", "ROS_HOME", "NUMBA_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.mark.unit
@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"HOME": NOWHERE}, f"cannot write its log to {NOWHERE}/.ros/log"),
        ({"HOME": "/tmp", "ROS_HOME": NOWHERE}, f"cannot write its log to {NOWHERE}/log"),
        ({"HOME": "/tmp", "ROS_LOG_DIR": NOWHERE}, f"cannot write its log to {NOWHERE}"),
    ],
)
def test_ros_log_goes_where_it_can_be_written_and_says_so(monkeypatch, temporary, variables, words):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    note = ensure_ros_log()
    assert words in note and "Set ROS_LOG_DIR" in note
    assert Path(os.environ["ROS_LOG_DIR"]).parents[1] == temporary and os.environ["ROS_LOG_DIR"] in note
    assert ensure_ros_log() is None, "now it can be written"


@pytest.mark.unit
def test_a_log_that_can_be_written_is_left_alone(monkeypatch, temporary):
    monkeypatch.setenv("HOME", str(temporary))
    assert ensure_ros_log() is None and "ROS_LOG_DIR" not in os.environ
    monkeypatch.delenv("HOME")
    assert "no home" in ensure_ros_log()


@pytest.mark.unit
def test_a_folder_that_somebody_else_prepared_is_not_used(temporary):
    assert private_folder("log") == private_folder("log")
    private_folder("log").chmod(0o777)
    assert private_folder("log").parent == temporary
    (temporary / "elsewhere").mkdir(mode=0o700)
    folder = temporary / f"lisa_ros-{os.getuid()}"
    folder.rename(temporary / "old")
    folder.symlink_to(temporary / "elsewhere")
    assert private_folder("numba").parent == temporary


@pytest.mark.unit
def test_a_folder_that_cannot_be_written_is_named_with_its_owner():
    with pytest.raises(ConfigurationError, match=r"cannot write to /proc/self: it belongs to user .*--out"):
        output_directory(Path("/proc/self"))
    with pytest.raises(ConfigurationError, match=r"cannot write to /proc/self/log\.txt"):
        Log(Path("/proc/self/log.txt"))


@pytest.mark.unit
def test_little_shared_memory_is_told_with_its_meaning_and_remedy(monkeypatch):
    def free(megabytes):
        facts = os.statvfs_result((4096, 4096, 0, 0, megabytes * 256, 0, 0, 0, 0, 255))
        monkeypatch.setattr(middleware.os, "statvfs", lambda _: facts)

    free(64)
    lines = []
    launcher.prepare_machine(3, lines.append)
    [note] = [line for line in lines if "/dev/shm" in line]
    assert "64 MB free" in note and "wants 193" in note and "harmless" in note and "--shm-size=512m" in note
    free(512)
    assert middleware.shared_memory_note(3) is None


@pytest.mark.unit
def test_colours_go_to_terminals_alone(tmp_path, capsys):
    log = Log(tmp_path / "log.txt")
    log.write("camera", RED)
    log.close()
    plain = "[camera] 2026-11-28 [RTPS_TRANSPORT_SHM Error] Failed"
    assert list(log.last) == [plain] and (tmp_path / "log.txt").read_text() == plain + "\n"
    launcher._print_line("camera", RED)
    assert capsys.readouterr().out == plain + "\n"


@pytest.mark.unit
def test_the_simulator_works_from_a_read_only_checkout_without_a_home(temporary):
    """numba keeps what it compiles in private, and refuses to import the code where it has no place."""
    program = (
        f"import pathlib, tempfile, lisa_ros.writable_folders as w; tempfile.tempdir = r'{temporary}'\n"
        "w.can_write = lambda folder: False\n"
        "import lisa_ros.simulator, os, numba; print(os.environ['NUMBA_CACHE_DIR'], numba.config.CACHE_DIR)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == [str(temporary / f"lisa_ros-{os.getuid()}" / "numba")] * 2


@pytest.mark.ros
def test_a_node_starts_without_a_home(start_python, temporary):
    process = start_python("lisa_ros.nodes.simulation.camera", HOME=NOWHERE, TMPDIR=temporary)
    process.wait_for("it goes to", 60)
    process.wait_for("streaming scene", 60)
