"""config/perception.yaml: all parameters with their defaults, which a node that reads it already has."""

import re
from pathlib import Path

import pytest
import yaml

from lisa_ros.nodes.perception.parameter_file import parameter_file
from lisa_ros.nodes.perception.parameters import PerceptionParameters, parameter_definitions

FILE = Path(__file__).parents[2] / "config" / "perception.yaml"


def values_of(text: str) -> dict:
    values = yaml.safe_load(text)["/**"]["ros__parameters"]
    groups = {group: values.pop(group) for group in ("mask", "cloud")}
    return values | {f"{group}.{name}": value for group, own in groups.items() for name, value in own.items()}


@pytest.mark.unit
def test_the_file_is_what_the_definitions_make():
    assert FILE.read_text() == parameter_file(), (
        "run: python -m lisa_ros.nodes.perception.parameter_file > config/perception.yaml"
    )


@pytest.mark.unit
def test_every_parameter_stands_in_it_once_with_its_default_and_its_meaning():
    text, definitions = FILE.read_text(), parameter_definitions()
    arrays = {one.name for one in definitions if isinstance(one.default, tuple)}
    assert set(re.findall(r"^    # (\w+): \[\]$", text, re.MULTILINE)) == arrays, "ROS reads no empty array"
    assert values_of(text) == {one.name: one.default for one in definitions if one.name not in arrays}
    words = " ".join(line.strip().removeprefix("# ") for line in text.splitlines())
    assert all(one.about in words for one in definitions)


@pytest.mark.ros
def test_a_node_that_reads_the_file_has_its_defaults():
    import rclpy
    from rclpy.context import Context
    from rclpy.node import Node

    from lisa_ros.nodes.perception.parameter_listener import ParameterListener
    from lisa_ros.rclpy_compat import parameter_overrides

    context = Context()
    rclpy.init(context=context)
    node = Node("reader", context=context, cli_args=["--ros-args", "--params-file", str(FILE)])
    try:
        assert ParameterListener(node, is_loaded=lambda: False).current() == PerceptionParameters()
        assert parameter_overrides(node) == sorted(values_of(FILE.read_text()))
    finally:
        node.destroy_node()
        rclpy.try_shutdown(context=context)
