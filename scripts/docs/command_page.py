"""The page of commands, from their parsers."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # training is not installed

from lisa_ros import cli
from training.__main__ import _parser as training_parser
from training.data.__main__ import _parser as data_parser


def page() -> str:
    """The whole page."""
    lines = [
        "# Commands\n\nMade from the commands' own parsers when this site was built; `--help` says the same.\n",
        "Exit status: 0 done, 1 ran but did not reach what it should, 2 wrong arguments or an error with a known cause "
        "(one line on stderr), 130 ended by Ctrl-C.\n",
    ]
    for parser in top_parsers():
        lines.append(f"## {parser.prog}\n")
        lines += _sections(parser)
    return "\n".join(lines)


def top_parsers() -> Iterator[argparse.ArgumentParser]:
    """The parser of each subcommand of `lisa-ros`, and those of training."""
    for name in cli.COMMANDS:
        yield _subparsers(cli._parser(name))[name]
    yield training_parser()
    yield data_parser()


def _sections(parser: argparse.ArgumentParser, level: int = 3) -> Iterator[str]:
    if parser.description:
        yield f"{_text(parser.description)}\n"
    usage = parser.format_usage().removeprefix("usage: ")
    yield f"```text\n{usage.strip()}\n```\n"
    rows = [_row(action) for action in parser._actions if _is_shown(action)]
    if rows:
        yield "| | |\n|---|---|\n" + "\n".join(rows) + "\n"
    if parser.epilog:
        yield f"```text\n{parser.epilog.strip()}\n```\n"
    for one in _subparsers(parser).values():
        yield f"{'#' * level} {one.prog}\n"
        yield from _sections(one, min(level + 1, 6))


def _subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def _is_shown(action: argparse.Action) -> bool:
    return not isinstance(action, argparse._SubParsersAction | argparse._HelpAction) and action.help is not None


def _row(action: argparse.Action) -> str:
    value = action.metavar or (action.dest.upper() if action.nargs != 0 else "")
    if action.choices and not action.metavar:
        value = "{" + ",".join(map(str, action.choices)) + "}"
    names = [f"`{name} {value}`" if value and action.nargs != 0 else f"`{name}`" for name in action.option_strings]
    if not names:
        names = [f"`{value if isinstance(value, str) else ' '.join(value)}`"]
    needed = " Required." if action.required and action.option_strings else ""
    about = action.help % (vars(action) | {"default": action.default}) if action.help else ""
    return f"| {', '.join(names)} | {_text(about)}{needed} |".replace("\n", " ")


def _text(text: str) -> str:
    return text.replace("<", "&lt;").replace("|", "\\|")
