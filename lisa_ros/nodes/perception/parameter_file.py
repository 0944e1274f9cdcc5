"""The text of config/perception.yaml: every parameter of the perception node with its default, as a file for ROS.

python -m lisa_ros.nodes.perception.parameter_file > config/perception.yaml
"""

import json
import sys
import textwrap

from lisa_ros.nodes.perception.parameters import CLOUD_PREFIX, ParameterDefinition, parameter_definitions

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
    definitions = parameter_definitions()
    own = [item for item in definitions if not item.name.startswith(CLOUD_PREFIX)]
    cloud = [item for item in definitions if item.name.startswith(CLOUD_PREFIX)]
    entries = [_entry(item.name, item, 4) for item in own]
    entries += ["    " + CLOUD_PREFIX.replace(".", ":\n")]
    entries += [_entry(item.name.removeprefix(CLOUD_PREFIX), item, 6) for item in cloud]
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
