"""The text of config/perception.yaml: every parameter of the perception node with its default, as a file for ROS.

python -m lisa_ros.nodes.perception.parameter_file > config/perception.yaml
"""

import json
import sys
import textwrap
from itertools import groupby

from lisa_ros.nodes.perception.parameters import ParameterDefinition, parameter_definitions

_HEADER = """\
# Every parameter of the perception node with its default. Generated from the parameters' definitions by
#   python -m lisa_ros.nodes.perception.parameter_file > config/perception.yaml
# To change some, copy the lines that differ into a file of your own and start with params_file:=/path/to/your.yaml
#   ros2 param describe /lisa/perception model        meaning and limits of one
#   ros2 param dump /lisa/perception                  all values of a running node
# Arrays that are empty by default are commented out: ROS reads no type from an empty array.
"""
_WIDTH = 116


def parameter_file() -> str:
    """The whole file; it holds no other values than the defaults, so that it changes nothing."""
    entries = []
    for group, items in groupby(parameter_definitions(), key=lambda item: item.name.rpartition(".")[0]):
        entries += [f"    {group}:\n"] if group else []
        entries += [_entry(item.name.rpartition(".")[2], item, 6 if group else 4) for item in items]
    return _HEADER + "/**:\n  ros__parameters:\n" + "".join(entries)


def _entry(name: str, definition: ParameterDefinition, indent: int) -> str:
    margin = " " * indent
    comment = textwrap.wrap(_comment(definition), _WIDTH - indent - 2)
    if isinstance(definition.default, tuple):
        value = f"# {name}: {list(definition.default)}"
    else:
        value = f"{name}: {json.dumps(definition.default)}"
    return "".join(f"{margin}{line}\n" for line in [*(f"# {line}" for line in comment), value])


def _comment(definition: ParameterDefinition) -> str:
    facts = []
    if definition.choices:
        facts.append(f"One of: {', '.join(definition.choices)}.")
    elif definition.low is not None:
        facts.append(f"{definition.low:g} to {definition.high:g}.")
    if definition.fixed:
        facts.append("At start only.")
    elif definition.at_configure:
        facts.append("While unconfigured only.")
    return " ".join([definition.about.rstrip(".") + ".", *facts])


if __name__ == "__main__":
    sys.stdout.write(parameter_file())
