"""The tables of parameters and launch arguments, from their definitions."""

from lisa_ros import graph
from lisa_ros.nodes.perception.parameters import ParameterDefinition, parameter_definitions


def page() -> str:
    """The whole page."""
    return (
        "# Parameters and launch arguments\n\n"
        "Made from the node's definitions when this site was built; [the node](../node.md#parameters) explains how to "
        "set them.\n\n"
        f"## Parameters\n\n{parameters()}\n\n## Launch arguments\n\n{arguments()}\n"
    )


def parameters() -> str:
    """Every parameter of the perception node."""
    head = "| parameter | default | values | can change | |\n|---|---|---|---|---|\n"
    return head + "\n".join(parameter_row(one) for one in parameter_definitions())


def parameter_row(setting: ParameterDefinition) -> str:
    """Its row: name, default, values, when it can change, what it means."""
    default = setting.default
    if isinstance(default, (bool, tuple)):
        default = {(): "[]", True: "true", False: "false"}[default]
    if setting.choices:
        values = ", ".join(setting.choices)
    else:
        values = "" if setting.low is None else f"{setting.low:g} to {setting.high:g}"
    when = "at start" if setting.fixed else "unconfigured" if setting.at_configure else "any time"
    return f"| `{setting.name}` | {default} | {values} | {when} | {_cell(setting.about)} |"


def arguments() -> str:
    """Every argument of the launch file and of `lisa-ros up`."""
    head = "| argument | default | |\n|---|---|---|\n"
    return head + "\n".join(f"| `{one.name}` | {one.default} | {_cell(one.about)} |" for one in graph.ARGUMENTS)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
