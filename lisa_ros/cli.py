"""The command `lisa-ros`. Every subcommand is a module with `add_arguments(parser)` and `run(args) -> exit status`.

Exit status: 0 done, 1 ran but did not reach what it should, 2 wrong arguments or an error with a known cause (one line
on stderr), 130 ended by Ctrl-C, 141 the reader of the output has gone (`lisa-ros ask ... | head -1`).
"""

import argparse
import sys
from importlib import import_module

from lisa_ros.cpu_threads import wait_passively
from lisa_ros.errors import LisaError
from lisa_ros.standard_streams import guarded

COMMANDS = {
    "ask": ("lisa_ros.commands.ask", "ask a question about an image file; no ROS needed"),
    "up": ("lisa_ros.launcher", "start the ROS graph: perception, and a simulated camera if wanted"),
    "console": ("lisa_ros.commands.console", "serve a web page to watch and ask a perception node"),
    "demo": ("lisa_ros.commands.demo", "start the graph, ask about simulated scenes, write a report"),
    "eval": ("lisa_ros.commands.evaluate", "score a model"),
    "record": ("lisa_ros.commands.record", "make a recording of the simulated tabletop to evaluate on"),
    "play": ("lisa_ros.commands.play", "play an RGB-D bag on real topics"),
    "rerun": ("lisa_ros.commands.rerun", "record a bag or the running graph for the Rerun viewer"),
    "scannet": ("lisa_ros.commands.scannet", "convert ScanNet recordings to bags, write queries about them"),
    "inspect": ("lisa_ros.commands.inspect", "which words an ELISA's masks are near to, as a page with pictures"),
    "convert": ("lisa_ros.commands.convert", "write a checkpoint of another layout as one that everything here reads"),
    "info": ("lisa_ros.commands.info", "versions, device, models, and what of ROS is there"),
}


def main(argv: list[str] | None = None) -> int:
    """Runs one command; `argv` without the program's name, default that of the process. Returns the exit status."""
    return guarded(lambda: _run(sys.argv[1:] if argv is None else argv), "lisa-ros")


def _run(argv: list[str]) -> int:
    # The word decides which one module is imported: --help and wrong commands answer at once.
    chosen = argv[0] if argv and argv[0] in COMMANDS else None
    args = _parser(chosen).parse_args(argv)
    wait_passively()  # before a command loads torch
    try:
        return import_module(COMMANDS[args.command][0]).run(args)
    except LisaError as error:
        print(f"lisa-ros {args.command}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _parser(chosen: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lisa-ros", description="Language-instructed segmentation for robots.")
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (module, about) in COMMANDS.items():
        command = commands.add_parser(name, help=about, description=about[0].upper() + about[1:] + ".")
        if name == chosen:
            import_module(module).add_arguments(command)
    return parser


class _Version(argparse.Action):
    def __call__(self, parser, *_):
        from lisa_ros.resources import version

        print(f"lisa_ros {version()}")
        parser.exit()
