"""The description of the graph: what launch arguments make of it. No process is started here."""

import dataclasses
import json
import os
from pathlib import Path

import pytest
import yaml

from lisa_ros import graph, launcher
from lisa_ros.errors import ConfigurationError
from lisa_ros.nodes.perception.parameters import PerceptionParameters, parameter_definitions

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
DEFINITIONS = {one.name: one for one in parameter_definitions()}
# All but the list of defaults, which tests/nodes/test_parameter_file.py compares with the definitions.
NODE_FILES = sorted(path for path in (ROOT / "config").glob("*.yaml") if path.stem != "perception")
CAMERA_FILES = sorted((ROOT / "config/cameras").glob("*.yaml"))


def test_without_arguments_the_node_keeps_its_defaults():
    [process] = graph.processes()
    assert (process.name, process.namespace, process.module) == ("perception", "lisa", "lisa_ros.nodes.perception")
    assert process.parameters == {}
    assert process.remappings == ()
    assert process.parameter_files == (ROOT / "config/perception.yaml",)


def test_arguments_have_the_kind_of_the_parameters_that_they_set():
    for argument in graph.ARGUMENTS:
        if "perception" in argument.parameter_of and argument.name != "use_sim_time":  # rclpy's own
            assert argument.kind is type(DEFINITIONS[argument.name].default), argument.name
            assert argument.default == "", "the default stands in the node"


def test_words_become_typed_parameters():
    [process] = graph.processes({"model": "7", "autostart": "False", "use_sim_time": "true", "threads": "2"})
    assert process.parameters == {"model": "7", "autostart": False, "use_sim_time": True, "threads": 2}


@pytest.mark.parametrize("path", CAMERA_FILES, ids=lambda path: path.stem)
def test_camera_presets(path):
    for camera in (path.stem, str(path)):
        first, *_ = graph.processes({"camera": camera})
        topics = {f"{name}_topic": topic for name, topic in first.remappings}
        assert topics == {name: topic for name, topic in yaml.safe_load(path.read_text()).items() if "topic" in name}


def test_an_argument_is_stronger_than_the_preset():
    [process] = graph.processes({"camera": "realsense", "image_topic": "/mine", "image_transport": "compressed"})
    assert dict(process.remappings)["image"] == "/mine"
    assert dict(process.remappings)["depth"] == "/camera/camera/aligned_depth_to_color/image_raw"
    assert process.parameters == {"image_transport": "compressed"}


def test_simulator_starts_a_camera_on_the_topics_of_the_node():
    perception, camera = graph.processes(
        {"camera": "simulator", "image_topic": "/elsewhere", "use_sim_time": "true", "model": "tabletop"}
    )
    assert camera.executable == "camera_node"
    assert camera.remappings == perception.remappings == (("image", "/elsewhere"),)
    assert camera.parameters == {"use_sim_time": True}, "the model is the perception node's"


def test_the_console_stands_beside_the_node_on_the_topics_of_the_camera():
    values = {
        "camera": "realsense",
        "image_transport": "compressed",
        "console": "true",
        "port": "0",
        "namespace": "bob",
    }
    perception, console = graph.processes(values)
    assert (console.name, console.module, console.executable) == ("console", "lisa_ros.nodes.console", "console_node")
    assert (console.namespace, console.remappings) == (perception.namespace, perception.remappings)
    assert console.parameters == {"image_transport": "compressed", "port": 0}
    assert graph.processes(values, only="console") == [console]
    assert [process.name for process in graph.processes({**values, "console": "false"})] == ["perception"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"console": "perhaps"}, ("console:=perhaps", "true or false")),
        ({"console": "true", "port": "eighty"}, ("port:=eighty", "whole number")),
        ({"modle": "x"}, ("modle", "did you mean model")),
        ({"autostart": "maybe"}, ("autostart", "true or false")),
        ({"threads": "two"}, ("threads:=two", "whole number")),
        ({"camera": "kinect"}, ("kinect", "realsense", "zed")),
        ({"params_file": "/nonexistent.yaml"}, ("/nonexistent.yaml", "rtx3090_lisa7b")),
    ],
)
def test_wrong_arguments_name_the_remedy(values, words):
    with pytest.raises(ConfigurationError) as error:
        graph.processes(values)
    assert all(word in str(error.value) for word in words)


@pytest.mark.parametrize("text", ["model: x", "image_topic: 7", "- a"])
def test_bad_preset_is_refused(tmp_path, text):
    path = tmp_path / "camera.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=r"camera\.yaml must map"):
        graph.processes({"camera": str(path)})


@pytest.mark.parametrize("content", [b"image_topic: [", b"\xff\xfe\0", b"image_topic: \0"])
def test_a_preset_that_is_no_yaml_is_refused(tmp_path, content):
    path = tmp_path / "camera.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"camera\.yaml cannot be read"):
        graph.processes({"camera": str(path)})


@pytest.mark.parametrize("path", NODE_FILES, ids=lambda path: path.stem)
def test_configurations_hold_parameters_of_the_node_within_their_limits(path):
    values = yaml.safe_load(path.read_text())["/**"]["ros__parameters"]
    assert values.keys() <= DEFINITIONS.keys()
    PerceptionParameters.from_values({name: one.default for name, one in DEFINITIONS.items()} | values)
    changed = {name for name, value in values.items() if value != DEFINITIONS[name].default}
    assert changed == values.keys(), "a file that repeats a default hides where it comes from"


def test_profile_is_set_unless_the_user_has_one(monkeypatch):
    name = "FASTDDS_DEFAULT_PROFILES_FILE"
    monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("ROS_DISTRO", raising=False)
    assert graph.environment() == {name: str(ROOT / "config/fastdds.xml")}
    monkeypatch.setenv(name, "/own.xml")
    assert graph.environment() == {}
    monkeypatch.setenv("ROS_DISTRO", "jazzy")
    assert list(graph.environment()) == ["FASTRTPS_DEFAULT_PROFILES_FILE"]
    assert os.environ[name] == "/own.xml"


def test_nodes_wait_passively_unless_the_user_says_otherwise(monkeypatch):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    assert launcher._child_environment()["OMP_WAIT_POLICY"] == "PASSIVE"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    assert launcher._child_environment()["OMP_WAIT_POLICY"] == "ACTIVE"


@pytest.mark.parametrize(
    ("namespace", "node"),
    [
        ("lisa", "/lisa/perception"),
        ("/robot1/lisa", "/robot1/lisa/perception"),
        ("/", "/perception"),
    ],
)
def test_command_line(tmp_path, namespace, node):
    [process] = graph.processes({"model": "7", "camera": "zed"})
    words = launcher.command(dataclasses.replace(process, namespace=namespace), tmp_path)
    assert words[1:4] == ["-m", "lisa_ros.nodes.perception", "--ros-args"]
    assert "image:=/zed/zed_node/rgb/color/rect/image" in words
    assert f"__ns:={node.rsplit('/', 1)[0] or '/'}" in words
    files = [words[index + 1] for index, word in enumerate(words) if word == "--params-file"]
    assert files[0] == str(ROOT / "config/perception.yaml")
    assert json.loads(Path(files[1]).read_text()) == {node: {"ros__parameters": {"model": "7"}}}


@pytest.mark.parametrize("word", ["model", ":=x", "model=x"])
def test_words_of_another_form_are_refused(word):
    with pytest.raises(ConfigurationError, match="name:=value"):
        launcher.parse_arguments([word])


def test_a_value_may_hold_the_separator():
    assert launcher.parse_arguments(["model:=a:=b", "camera:="]) == {"model": "a:=b", "camera": ""}


def test_launch_file_declares_exactly_the_arguments_of_the_graph():
    pytest.importorskip("launch_ros", reason="launch is part of a ROS install")
    from launch.launch_description_sources import get_launch_description_from_python_launch_file

    description = get_launch_description_from_python_launch_file(str(ROOT / "launch/perception.launch.py"))
    declared = {argument.name: argument.description for argument in description.get_launch_arguments()}
    assert declared == {argument.name: argument.about for argument in graph.ARGUMENTS}
