"""The set-up script: refuses where it cannot work, goes on where it was interrupted, says little and keeps the rest.

Stand-ins take the place of the interpreter and pip: what is tested is which of their calls are made, and what is said.
"""

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
PARTS = ("scripts", "requirements", "msg", "action", "CMakeLists.txt", "package.xml", "setup.py", "setup.cfg")
# What the script calls besides the interpreter; not apt-get and sudo, which would change this machine.
TOOLS = ("bash", "sh", "cat", "cp", "cut", "sha256sum", "flock", "uname", "dirname", "mkdir", "rm", "grep", "tail",
         "tac", "sed", "head", "du", "df", "awk", "id", "sleep", "g++", "env")  # fmt: skip
PYTHON = """#!/bin/bash
# An interpreter of version {version} that makes environments in which it answers itself.
case "$*" in
    *ensurepip*) exit {ensurepip} ;;
    *version_info\\[:2\\]*) echo {version} ;;
    "-m venv --clear "*)
        rm -rf "$4"; mkdir -p "$4/bin"; cp "$0" "$4/bin/python"
        echo "venv {version}" >>"$CALLS"
        [[ -z ${{SLOW:-}} ]] || sleep 60 ;;
    "-m pip install"*)
        echo "pip ${{*:4}}" >>"$CALLS"
        echo "Collecting torch==2.15.0"
        sleep "${{PIP_SECONDS:-0}}"
        [[ -z ${{PIP_FAILS:-}} ]] || {{ echo "$PIP_FAILS" >&2; exit 1; }} ;;
    "-")
        {headers} ;;
esac
"""


def run_setup(folder: Path = ROOT, **environment) -> subprocess.CompletedProcess:
    return subprocess.run(
        [folder / "scripts/setup.sh"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


class Checkout:
    """A copy of what the script reads, with stand-ins beside it."""

    def __init__(self, folder: Path):
        self.folder = folder / "checkout"
        self.folder.mkdir()
        for name in PARTS:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, self.folder / name)
        self._tools = folder / "bin"
        self._tools.mkdir()
        for name in TOOLS:
            (self._tools / name).symlink_to(shutil.which(name))
        self._calls = folder / "calls"

    def python(self, version: str, ensurepip: int = 0, headers: str = ":") -> str:
        """Path of a stand-in."""
        path = self._tools / f"python{version}"
        path.write_text(PYTHON.format(version=version, ensurepip=ensurepip, headers=headers))
        path.chmod(0o755)
        return str(path)

    def environment(self, variables) -> dict[str, str]:
        return {"PATH": str(self._tools), "CALLS": str(self._calls), **variables}

    def run(self, **variables) -> subprocess.CompletedProcess:
        return run_setup(self.folder, **self.environment(variables))

    def wait_for_a_call(self):
        """Returns a moment after the first call was made, and forgets it."""
        deadline = time.monotonic() + 30
        while not self._calls.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.3)
        assert len(self.calls) == 1

    @property
    def calls(self) -> list[str]:
        """The calls since this was last read."""
        lines = self._calls.read_text().splitlines() if self._calls.exists() else []
        self._calls.unlink(missing_ok=True)
        return lines


@pytest.fixture
def checkout(tmp_path):
    return Checkout(tmp_path)


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"ROS_DISTRO": "jazzy"}, ("'jazzy' is sourced", "docs/installation.md")),
        ({"PYTHON": "/nonexistent/python3"}, ("/nonexistent/python3 not found", "3.11")),
    ],
)
def test_refuses_with_one_clear_line(environment, words):
    result = run_setup(**environment)
    assert result.returncode == 1
    assert result.stdout == ""
    assert len(result.stderr.strip().splitlines()) == 1
    assert all(word in result.stderr for word in words)


def test_old_python_is_named(tmp_path):
    python = tmp_path / "python3"
    python.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2\nexit 1\n')
    python.chmod(0o755)
    result = run_setup(PYTHON=str(python))
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert "Python 3.9.2 is too old" in result.stderr


def test_each_step_is_a_line_and_a_time_and_the_second_run_does_nothing(checkout):
    result = checkout.run(PYTHON=checkout.python("3.12"))
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert len(lines) <= 9 and all(line.startswith("[setup] ") for line in lines), lines
    assert sum("done in 0 s" in line or "done in 1 s" in line for line in lines) == 4
    assert "up to 16 GB while installing" in result.stdout and "Collecting" not in result.stdout
    assert "Collecting torch" in (checkout.folder / "out/setup.log").read_text()
    venv, wheels, messages = checkout.calls
    assert venv == "venv 3.12" and messages.endswith("--no-build-isolation --no-deps --editable .")
    assert wheels.endswith("-c requirements/constraints.txt") and "-r requirements/runtime.txt" in wheels
    again = checkout.run(PYTHON=checkout.python("3.12"))
    assert (again.returncode, again.stdout, checkout.calls) == (0, "", [])


def test_a_step_that_takes_long_says_that_it_goes_on(checkout):
    result = checkout.run(PYTHON=checkout.python("3.12"), PIP_SECONDS="0.7", SETUP_INTERVAL="0.2")
    assert any("MB in .venv; Collecting torch" in line for line in result.stdout.splitlines()), result.stdout


def _heed_interrupts():
    """A shell that runs the tests in the background has them, and what they start, ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_environment_is_made_anew(checkout, number):
    python = checkout.python("3.12")
    environment = {**os.environ, **checkout.environment({"PYTHON": python, "SLOW": "1"})}
    process = subprocess.Popen([checkout.folder / "scripts/setup.sh"], env=environment, stdout=subprocess.DEVNULL,
                               start_new_session=True, preexec_fn=_heed_interrupts)  # fmt: skip
    checkout.wait_for_a_call()  # .venv/bin/python is there, and what follows it is under way
    os.killpg(process.pid, number)  # as a terminal's Ctrl-C: to all of them
    assert process.wait(60) != 0 and (checkout.folder / ".venv/bin/python").exists()
    result = checkout.run(PYTHON=python)
    assert result.returncode == 0 and ".venv is unfinished: it is made anew" in result.stdout
    assert [call.split()[0] for call in checkout.calls] == ["venv", "pip", "pip"]


@pytest.mark.parametrize("is_link", [True, False])
def test_what_stands_in_the_environments_place_is_told(checkout, is_link):
    place = checkout.folder / ".venv"
    if is_link:
        place.symlink_to("/nonexistent")
    else:
        place.write_text("")
    result = checkout.run(PYTHON=checkout.python("3.12"))
    assert result.returncode == 1 and ".venv is no folder, or a link to nothing: remove it" in result.stderr
    assert checkout.calls == []


def test_an_interrupted_installation_goes_on_in_the_same_environment(checkout):
    python = checkout.python("3.12")
    assert checkout.run(PYTHON=python, PIP_FAILS="error: killed").returncode == 1
    assert checkout.run(PYTHON=python).returncode == 0
    assert [call.split()[0] for call in checkout.calls] == ["venv", "pip", "pip", "pip"]


def test_another_version_that_is_asked_for_makes_the_environment_anew(checkout):
    old, new = checkout.python("3.12"), checkout.python("3.13")
    checkout.python("3")  # python3, where nothing is asked for
    assert checkout.run(PYTHON=new).returncode == 0
    assert checkout.calls[0] == "venv 3.13"
    assert checkout.run(PYTHON="").returncode == 0
    assert checkout.calls == [], "what is there is kept where no version is asked for"
    result = checkout.run(PYTHON=old)
    assert f".venv has Python 3.13, and PYTHON={old} is 3.12: it is made anew" in result.stdout
    assert [call.split()[0] for call in checkout.calls] == ["venv", "pip", "pip"]


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (
            "WARNING: Retrying after NewConnectionError('... [Errno -3] Temporary failure in name resolution')",
            "No network: the package index cannot be reached",
        ),
        ("OSError: [Errno 28] No space left on device", "The disk is full: installing takes up to 16 GB"),
        ("ERROR: No matching distribution for torch==9", "Failed: ERROR: No matching distribution for torch==9"),
    ],
)
def test_what_fails_is_one_line_that_names_the_log(checkout, output, words):
    result = checkout.run(PYTHON=checkout.python("3.12"), PIP_FAILS=output)
    assert result.returncode == 1
    [line] = result.stderr.splitlines()
    assert words in line and line.endswith("out/setup.log"), line
    assert output in (checkout.folder / "out/setup.log").read_text()


def test_missing_packages_are_those_of_the_interpreter(checkout):
    result = checkout.run(PYTHON=checkout.python("3.99", ensurepip=1, headers='echo "$PACKAGE"'))
    assert result.returncode == 1 and result.stdout == ""
    assert "sudo apt-get update && sudo apt-get install python3.99-venv python3.99-dev" in result.stderr


@pytest.fixture
def installed(tmp_path):
    """Metadata of a package as pip leaves it, with a module and a script."""
    metadata = tmp_path / "site-packages" / "package-1.0.dist-info"
    metadata.mkdir(parents=True)
    for path in ("package.py", "../bin/tool", "package-1.0.dist-info/INSTALLER"):
        file = metadata.parent / path
        file.parent.mkdir(exist_ok=True)
        file.write_text("pip\n")
    names = ("package.py", "__pycache__/package.cpython-311.pyc", "../bin/tool", "package-1.0.dist-info/INSTALLER")
    (metadata / "RECORD").write_text("".join(f"{name},,\n" for name in names))
    return metadata


@pytest.mark.parametrize("damage", ["nothing", "script", "module", "list", "whole list"])
def test_what_pip_did_not_finish_is_found(installed, damage):
    spec = importlib.util.spec_from_file_location("check_wheels", ROOT / "scripts" / "check_wheels.py")
    check = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(check)
    record = installed / "RECORD"
    if damage == "script":
        (installed.parent / "../bin/tool").unlink()
    elif damage == "module":
        (installed.parent / "package.py").unlink()
    elif damage == "list":  # as it stands in the wheel: scripts and pip's mark come later
        record.write_text("package.py,,\n")
    elif damage == "whole list":
        record.unlink()
    assert check.unfinished(installed) == (damage != "nothing")


def test_torch_without_cuda_is_the_same_version_from_the_index_that_is_named(checkout):
    python = checkout.python("3.12")
    result = checkout.run(PYTHON=python, TORCH="cpu", TORCH_INDEX="https://example.invalid/cpu")
    assert result.returncode == 0 and "torch without CUDA" in result.stdout and "3 GB" in result.stdout
    wheels = checkout.calls[1].split()
    pin = re.search(r"^torchvision==(\S+)", (ROOT / "requirements/runtime.txt").read_text(), re.M)[1]
    assert f"torchvision=={pin}+cpu" in wheels
    assert any(word.startswith("torch==2") and word.endswith("+cpu") for word in wheels)
    assert wheels[wheels.index("--extra-index-url") + 1] == "https://example.invalid/cpu"
    assert checkout.run(PYTHON=python, TORCH="").stdout == "", "the choice is kept"
    back = checkout.run(PYTHON=python, TORCH="cuda")
    assert "has torch for cpu, and TORCH=cuda: it is made anew" in back.stdout
    assert not any("+cpu" in call for call in checkout.calls)


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"TORCH": "rocm"}, ("TORCH=rocm is unknown", "cpu", "cuda")),
        (
            {"TORCH": "cpu", "PIP_FAILS": "ERROR: No matching distribution found for torch==2.15.0+cpu"},
            ("No index that pip asks has torch 2.", "TORCH_INDEX="),
        ),
    ],
)
def test_a_torch_that_is_not_to_be_had_is_told_with_the_remedy(checkout, variables, words):
    result = checkout.run(PYTHON=checkout.python("3.12"), **variables)
    assert result.returncode == 1
    [line] = result.stderr.splitlines()
    assert all(word in line for word in words), line
