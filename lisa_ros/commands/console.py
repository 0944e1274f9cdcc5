"""`lisa-ros console`: the web console of a perception node that runs already."""

import argparse

from lisa_ros import graph
from lisa_ros.console import check_installed
from lisa_ros.errors import ConfigurationError
from lisa_ros.launcher import parse_arguments, run_processes

_ARGUMENTS = (
    *("namespace", "host", "port", "camera", "image_topic", "camera_info_topic", "image_transport", "params_file"),
    *("use_sim_time", "log_level"),
)


def add_arguments(parser: argparse.ArgumentParser):
    """Arguments of `lisa-ros console`: those launch arguments that concern it."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    about = {argument.name: argument for argument in graph.ARGUMENTS}
    parser.epilog = "arguments:\n" + "\n".join(
        f"  {name + ':=' + about[name].default:<24} {about[name].about}" for name in _ARGUMENTS
    )
    parser.add_argument("arguments", nargs="*", metavar="name:=value", help="launch arguments, see below")


def run(args: argparse.Namespace) -> int:
    """Serves the page until a signal. Raises ConfigurationError for arguments that are no good."""
    check_installed()
    values = parse_arguments(args.arguments)
    for name in values:
        if name not in _ARGUMENTS:
            raise ConfigurationError(f"{name!r} is no argument of the console; it takes {', '.join(_ARGUMENTS)}")
    return run_processes(graph.processes(values, only="console"))
