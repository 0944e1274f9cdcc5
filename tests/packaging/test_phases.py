"""The phases of `make test`: each test runs in one of them, and what fails in either is shown and fails the whole."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
# Stands for pytest: writes down its arguments, ends with the status of the phase, and names a failure where that is 1.
STAND_IN = """#!/bin/bash
echo "$*" >>calls
for word; do
    case $word in --phase=*) phase=${word#*=} ;; --failures=*) file=${word#*=} ;; esac
done
status=$(<"$phase.status")
[[ $status != 1 ]] || echo "FAILED test_of_$phase" >>"$file"
exit "$status"
"""
SUITE = """
import pytest

def test_shared():
    assert 1 == 2, "numbers differ"

@pytest.mark.ros
def test_of_ros():
    pass

@pytest.mark.alone
def test_of_times():
    pass
"""


@pytest.fixture
def run_phases(tmp_path):
    """run_phases(parallel, alone, *arguments) -> the script's process and what pytest was called with."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts/test.sh", tmp_path / "scripts")
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(STAND_IN)
    python.chmod(0o755)

    def run(parallel, alone, *arguments):
        for phase, status in (("parallel", parallel), ("alone", alone)):
            (tmp_path / f"{phase}.status").write_text(str(status))
        done = subprocess.run(
            [tmp_path / "scripts/test.sh", *arguments], capture_output=True, text=True, check=False, timeout=60
        )
        return done, (tmp_path / "calls").read_text().splitlines()

    return run


@pytest.mark.parametrize(("parallel", "alone", "status"), [(0, 0, 0), (1, 0, 1), (0, 1, 1), (1, 1, 1), (5, 0, 0)])
def test_both_phases_run_and_one_that_failed_fails_the_whole(run_phases, parallel, alone, status):
    done, calls = run_phases(parallel, alone, "-k", "a word")
    assert done.returncode == status
    assert [call.split("--phase=")[1].split()[0] for call in calls] == ["parallel", "alone"]
    assert all(call.endswith("-k a word") for call in calls)
    assert " -n " in calls[0] and " -n " not in calls[1]
    for phase, code in (("parallel", parallel), ("alone", alone)):
        assert (f"FAILED test_of_{phase}" in done.stdout) == (code == 1)


def test_arguments_that_match_no_test_are_told(run_phases):
    done, calls = run_phases(5, 5)
    assert done.returncode == 5 and len(calls) == 2 and "no test matches" in done.stderr


@pytest.mark.parametrize("status", [2, 4])
def test_an_interrupt_or_a_usage_error_ends_the_run_at_once(run_phases, status):
    done, calls = run_phases(status, 0)
    assert done.returncode == status and len(calls) == 1


@pytest.mark.parametrize(
    ("phase", "names"), [("parallel", {"test_of_ros", "test_shared"}), ("alone", {"test_of_times"})]
)
def test_a_phase_has_its_tests_and_writes_down_its_failures(tmp_path, phase, names):
    (tmp_path / "tests").mkdir()
    shutil.copy(ROOT / "tests/conftest.py", tmp_path / "tests")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "tests/test_suite.py").write_text(SUITE)
    failures = tmp_path / "failures"
    command = [sys.executable, "-m", "pytest", "-v", f"--phase={phase}", f"--failures={failures}"]
    if phase == "parallel":
        command += ["-n", "2"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=100)
    ran = {
        line.split("::")[1].split()[0] for line in done.stdout.splitlines() if " PASSED" in line or " FAILED" in line
    }
    assert ran == names, done.stdout
    if phase == "parallel":
        (line,) = failures.read_text().splitlines()
        assert line.startswith("FAILED tests/test_suite.py::test_shared (call) - AssertionError: numbers")
    else:
        assert not failures.exists()
    assert done.returncode == (phase == "parallel")
