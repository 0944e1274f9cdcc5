"""What the launch files start, with stand-ins for launch, which only a ROS install has."""

import runpy
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from lisa_ros.cpu_threads import environment

pytestmark = pytest.mark.unit

LAUNCH = Path(__file__).parents[2] / "launch"
NAMES = {
    "launch": ("LaunchContext", "LaunchDescription", "LaunchDescriptionEntity"),
    "launch.actions": ("DeclareLaunchArgument", "ExecuteProcess", "OpaqueFunction", "SetEnvironmentVariable"),
    "launch_ros": (),
    "launch_ros.actions": ("Node",),
    "launch_ros.parameter_descriptions": ("ParameterValue",),
    "launch_ros.substitutions": ("ExecutableInPackage",),
}


class Recorded(SimpleNamespace):
    """Keeps what it was made of."""

    def __init__(self, *words, **named):
        super().__init__(words=words, **named)


@pytest.fixture
def start(monkeypatch):
    """start(file, arguments) -> what it gives to launch."""
    for name, members in NAMES.items():
        module = ModuleType(name)
        vars(module).update({member: type(member, (Recorded,), {}) for member in members})
        monkeypatch.setitem(sys.modules, name, module)

    def start(file, **arguments):
        described = runpy.run_path(str(LAUNCH / file))
        *declared, opaque = described["generate_launch_description"]().words[0]
        values = {argument.words[0]: argument.default_value for argument in declared} | arguments
        return opaque.function(SimpleNamespace(launch_configurations=values))

    return start


def test_the_evaluation_runs_with_the_python_of_the_installed_command(start):
    [process] = start("evaluation.launch.py", bag="my bag", model="m", timeout="")
    command, *words = process.cmd
    assert type(command).__name__ == "ExecutableInPackage" and command.words == ("lisa-ros", "lisa_ros")
    assert words[:3] == ["eval", "bag", "my bag"] and "--model=m" in words
    assert not any(word.startswith("--timeout") for word in words)


def test_the_perception_node_gets_its_arguments(start):
    *_, perception, camera = start("perception.launch.py", camera="simulator", namespace="robot1/lisa", model="7")
    assert (perception.executable, camera.executable) == ("perception_node", "camera_node")
    assert perception.namespace == camera.namespace == "robot1/lisa" and perception.package == "lisa_ros"
    assert perception.additional_env == environment()
    *_, given = perception.parameters
    assert given["model"].words == ("7",) and given["model"].value_type is str
