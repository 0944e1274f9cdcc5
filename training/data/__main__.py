"""The data sets from the command line: `python -m training.data check DIR`, `... paraphrase-prompts --data DIR`."""

import argparse
import sys
from pathlib import Path

from lisa_ros.errors import LisaError
from lisa_ros.standard_streams import guarded


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the exit code: 0, 1 if a data set is missing or damaged, 2 after a one-line error."""
    args = _parser().parse_args(arguments)
    try:
        return _check(args) if args.command == "check" else _paraphrase_prompts(args)
    except LisaError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training.data", description=__doc__.split(":")[0] + ".")
    commands = parser.add_subparsers(dest="command", required=True)
    text = "counts files, reads a few samples of each data set, shows where to get the missing ones"
    one = commands.add_parser("check", help=text, description=text)
    one.add_argument("root", type=Path, metavar="DIR", help="folder of the data sets, `data.root` of a run's YAML")
    one.add_argument(
        "names", nargs="*", metavar="NAME", help="data sets as a run's YAML names them; without, those that have files"
    )
    one.add_argument("--config", type=Path, metavar="FILE", help="YAML of a run: the data sets that it names")
    one.add_argument("--read", type=int, default=3, help="samples to read of each (%(default)s)")
    text = "writes prompts for a language model that gives further wordings of ReasonSeg's training questions"
    one = commands.add_parser("paraphrase-prompts", help=text, description=text)
    one.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of the data sets")
    one.add_argument("--out", type=Path, required=True, metavar="FILE.jsonl", help="file to write")
    one.add_argument("--count", type=int, default=5, help="wordings to ask for (%(default)s)")
    return parser


def _check(args: argparse.Namespace) -> int:
    from training.data.catalogue import CATALOGUE
    from training.data.check import DAMAGED, MISSING, check, names_of_run, names_with_files, table

    asked = [*args.names, *(names_of_run(args.config) if args.config else ())]
    names = asked or names_with_files(args.root)
    if not names:
        check(args.root, ("tabletop",), args.read)  # the folder itself
        print(f"no file of a known data set is below {args.root}; there could be {', '.join(CATALOGUE)}")
        return 1
    statuses = check(args.root, names, args.read)
    print(table(statuses))
    if not asked and (absent := [name for name in CATALOGUE if name not in names]):
        print(f"\nnothing there of: {', '.join(absent)} (name one to see what it needs)")
    return int(any(status.state in (MISSING, DAMAGED) for status in statuses))


def _paraphrase_prompts(args: argparse.Namespace) -> int:
    from training.data.paraphrase import write_prompts

    print(f"{write_prompts(args.data, args.out, args.count)} prompts in {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main, "python -m training.data"))
