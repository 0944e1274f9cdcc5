"""RMW_IMPLEMENTATION that names a middleware which is not installed ends every program in one line, with the remedy."""

import os
import subprocess
import sys

import pytest

from lisa_ros.errors import ConfigurationError
from lisa_ros.middleware import check_middleware, installed_middlewares

pytestmark = pytest.mark.unit
ABSENT = "rmw_nobody_has_this_cpp"


@pytest.fixture
def index(tmp_path, monkeypatch):
    """An ament index with two middlewares."""
    folder = tmp_path / "share" / "ament_index" / "resource_index" / "rmw_typesupport"
    folder.mkdir(parents=True)
    for name in ("rmw_fastrtps_cpp", "rmw_cyclonedds_cpp", "rmw_implementation"):
        (folder / name).touch()
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"/nowhere{os.pathsep}{tmp_path}")


def test_those_of_the_index_are_accepted(index, monkeypatch):
    assert installed_middlewares() == ["rmw_cyclonedds_cpp", "rmw_fastrtps_cpp"]
    for name in ("rmw_cyclonedds_cpp", ""):
        monkeypatch.setenv("RMW_IMPLEMENTATION", name)
        check_middleware()
    monkeypatch.setenv("RMW_IMPLEMENTATION", ABSENT)
    monkeypatch.setenv("ROS_DISTRO", "jazzy")
    with pytest.raises(
        ConfigurationError, match=r"there is rmw_cyclonedds_cpp, rmw_fastrtps_cpp.*ros-jazzy-rmw-nobody-has"
    ):
        check_middleware()


def test_where_nothing_is_known_nothing_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    monkeypatch.setenv("RMW_IMPLEMENTATION", ABSENT)
    check_middleware()


@pytest.mark.skipif(not installed_middlewares(), reason="ROS is not installed")
@pytest.mark.parametrize(
    "words",
    [
        ["lisa_ros.nodes.perception"],
        ["lisa_ros", "up"],
        ["lisa_ros", "demo", "--out", "{out}"],
        ["lisa_ros", "play", "{out}"],
        ["lisa_ros", "eval", "bag", "{out}"],
    ],
    ids=lambda words: words[-1 if len(words) == 1 else 1],
)
def test_every_program_says_so(tmp_path, words):
    command = [word.format(out=tmp_path / "out") for word in words]
    done = subprocess.run(
        [sys.executable, "-m", *command],
        env=os.environ | {"RMW_IMPLEMENTATION": ABSENT},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    (line,) = done.stderr.strip().splitlines()
    assert done.returncode in (1, 2) and f"RMW_IMPLEMENTATION is {ABSENT}" in line and "Unset it" in line
