"""The set-up script refuses, before it changes anything, where it cannot work."""

import os
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]


def run_setup(**environment) -> subprocess.CompletedProcess:
    return subprocess.run([ROOT / "scripts/setup.sh"], env={**os.environ, **environment}, capture_output=True,
                          text=True, check=False, timeout=60)


@pytest.mark.parametrize(("environment", "words"), [
    ({"ROS_DISTRO": "jazzy"}, ("'jazzy' is sourced", "docs/installation.md")),
    ({"PYTHON": "/nonexistent/python3"}, ("/nonexistent/python3 not found", "3.11")),
])
def test_refuses_with_one_clear_line(environment, words):
    result = run_setup(**environment)
    assert result.returncode == 1
    assert result.stdout == ""
    assert len(result.stderr.strip().splitlines()) == 1
    assert all(word in result.stderr for word in words)


def test_old_python_is_named(tmp_path):
    python = tmp_path / "python3"
    python.write_text("#!/bin/sh\n[ \"$1\" = --version ] && echo Python 3.9.2\nexit 1\n")
    python.chmod(0o755)
    result = run_setup(PYTHON=str(python))
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert "Python 3.9.2 is too old" in result.stderr

