"""Training from the command line: `python -m training train|validate|merge|export --config FILE`, or `proposals`.

On several devices: `accelerate launch --config_file config/training/accelerate/FILE.yaml -m training train ...`.
"""

import argparse
import sys
from pathlib import Path

from lisa_ros.errors import ConfigurationError, LisaError
from lisa_ros.standard_streams import guarded
from training.errors import TrainingError

STAGES = ("vision", "language", "tabletop")


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the exit code: 0, or 2 after a one-line error."""
    args = _parser().parse_args(arguments)
    try:
        return _run(args) or 0
    except (LisaError, TrainingError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        raise  # the reader of the output has gone: `guarded` ends the program
    except OSError as error:  # as TensorBoard's files on a full disk
        print(f"error: {error}; what was saved before is valid, the same command resumes from it", file=sys.stderr)
        return 2
    except RuntimeError as error:
        if not _exchange_broke(error):
            raise
        print(
            "error: the exchange with the other processes of the run broke. One of them has ended: its own message "
            f"says why. What was saved before is valid, the same command resumes from it ({str(error).strip()})",
            file=sys.stderr,
        )
        return 2


def _exchange_broke(error: RuntimeError) -> bool:
    """NCCL's errors have a class; gloo's have none, only the place in its source."""
    from torch.distributed import DistError

    return isinstance(error, DistError) or "/gloo/" in str(error)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, description: str) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=description, description=description)
        one.add_argument("--config", type=Path, required=True, help="YAML of the run, as those in config/training")
        return one

    train = command("train", "trains; resumes from the last checkpoint if there is one")
    train.add_argument("--stage", choices=STAGES, help="recipe tabletop: this stage alone")
    _add_accept(train)
    prepare = command("prepare", "recipe elisa: writes the records of a split, candidates with their embeddings")
    prepare.add_argument("--split", default="train", choices=("train", "val", "test"), help="of ReasonSeg")
    stages = [command(stage, f"recipe tabletop: the same as train --stage {stage}") for stage in STAGES]
    for one in (train, stages[-1]):
        one.add_argument(
            "--base", type=Path, metavar="DIR", help="recipe tabletop: begin stage tabletop with this checkpoint"
        )
    about = "recipe compare_styles: trains and scores styles with equal data, and writes a table"
    compare = command("compare-styles", about)
    compare.add_argument("--style", help="this style alone, without the table")
    about = "recipe compare_choosers: trains and scores systems that choose among proposals, and writes a table"
    compare = command("compare-choosers", about)
    compare.add_argument("--system", help="this system alone, without the table")
    for name, description in (
        ("validate", "scores a checkpoint (gIoU, cIoU) on the sets of the configuration"),
        ("merge", "adds the adapters to their base: a checkpoint that Lisa.from_pretrained loads"),
        ("export", "recipe tabletop: writes the last stage's model as a checkpoint; recipe lora: the same as merge"),
    ):
        one = command(name, description)
        one.add_argument("--checkpoint", type=Path, help="in place of the run's best one; `base`: untrained")
        if name != "validate":
            one.add_argument("--out", type=Path, required=True, help="directory to write")
        _add_accept(one)
    _add_proposals(commands)
    return parser


def _add_proposals(commands: argparse._SubParsersAction) -> None:
    about = "writes the proposals of a data set's pictures, for systems that choose among them; resumable"
    parser = commands.add_parser("proposals", help=about, description=about)
    pictures = parser.add_mutually_exclusive_group(required=True)
    pictures.add_argument("--images", type=Path, metavar="DIR", help="a folder of pictures")
    pictures.add_argument("--set", metavar="NAME", help="a data set by its name in a run's YAML, as ReasonSeg|train")
    parser.add_argument("--root", type=Path, default=Path("datasets"), help="of data sets (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="masks.json to write")
    parser.add_argument(
        "--sam", metavar="M", help="Segment Anything's file or a LISA's checkpoint; without: the masks of the truth"
    )
    parser.add_argument("--system", default="llmseg", help="whose settings: llmseg or elisa (default: %(default)s)")
    parser.add_argument("--limit", type=int, metavar="N", help="first N pictures only")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")


def _add_accept(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--accept",
        action="append",
        default=[],
        metavar="NAME",
        help="recipe lora: a difference between checkpoint and configuration that is wanted, as base or lora.alpha",
    )


def _run(args: argparse.Namespace) -> int | None:
    """Runs a command; returns an exit code other than 0, if it is another one."""
    from training.config.yaml_files import read_recipe

    if args.command == "proposals":
        from training.proposals import run as run_proposals

        return run_proposals(args)
    for name, compare in (("compare-styles", _compare_styles), ("compare-choosers", _compare_choosers)):
        if (args.command == name) != (read_recipe(args.config) == name.replace("-", "_")):
            raise ConfigurationError(
                f"{args.config}: recipe {name.replace('-', '_')} and the command {name} belong together"
            )
        if args.command == name:
            compare(args)
            return None
    stage = args.command if args.command in STAGES else getattr(args, "stage", None)
    command = "train" if args.command in STAGES else args.command
    recipe = "tabletop" if args.command in STAGES else read_recipe(args.config)
    if recipe == "tabletop":
        _run_tabletop(args, command, stage)
        return None
    if getattr(args, "base", None):
        raise ConfigurationError(f"--base is of recipe tabletop; {args.config} names its base itself")
    if recipe == "elisa":
        _run_elisa(args, command, stage)
        return None
    if stage:
        raise ConfigurationError(f"{args.config} is of recipe lora, which has no stage {stage}")
    if command == "prepare":
        raise ConfigurationError(f"{args.config} is of recipe lora, which reads data sets as they are")
    from training import commands as run
    from training.config.train_config import load_config

    config = load_config(args.config)
    if command == "train":
        run.train(config, args.accept)
    elif command == "validate":
        run.validate_run(config, args.checkpoint, args.accept)
    else:
        run.merge(config, args.checkpoint, args.out, args.accept)
    return None


def _run_tabletop(args: argparse.Namespace, command: str, stage: str | None) -> None:
    from training.tabletop import joint, language, vision
    from training.tabletop.config import load_config

    if getattr(args, "accept", None):
        raise ConfigurationError("recipe tabletop begins with nothing: it has no base, and nothing to --accept")
    config = load_config(args.config)
    base = getattr(args, "base", None)
    if base and stage != "tabletop":
        raise ConfigurationError(f"--base {base} is what stage tabletop begins with: add --stage tabletop")
    stages = {
        "vision": vision.train, "language": language.train, "tabletop": lambda config: joint.train(config, base)
    }  # fmt: skip
    if command == "train":
        for name in (stage,) if stage else STAGES:
            stages[name](config)
    elif command == "export":
        if args.checkpoint:
            raise ConfigurationError("recipe tabletop exports what the last stage left; leave --checkpoint out")
        joint.export(config, args.out)
    else:
        raise ConfigurationError(
            f"recipe tabletop has no command {command}; use train or export, and score with `lisa-ros eval tabletop`"
        )


def _compare_styles(args: argparse.Namespace) -> None:
    from training.comparison.compare import compare_styles, run_style
    from training.comparison.config import load_config

    config = load_config(args.config)
    if args.style is None:
        compare_styles(config, args.config)
    elif args.style in config.styles:
        run_style(config, args.style)
    else:
        raise ConfigurationError(f"--style {args.style}: {args.config} has {', '.join(config.styles)}")


def _compare_choosers(args: argparse.Namespace) -> None:
    from training.comparison.choosers.compare import compare_choosers, run_system
    from training.comparison.choosers.config import load_config

    config = load_config(args.config)
    if args.system is None:
        compare_choosers(config, args.config)
    else:
        run_system(config, config.system(args.system))


def _run_elisa(args: argparse.Namespace, command: str, stage: str | None) -> None:
    from training.elisa.commands import prepare
    from training.elisa.config import load_elisa_config
    from training.elisa.loop import train_elisa

    if stage or getattr(args, "accept", None):
        raise ConfigurationError("recipe elisa has no stages, and nothing to --accept")
    config = load_elisa_config(args.config)
    if command == "prepare":
        prepare(config, args.split)
    elif command == "train":
        train_elisa(config)
    else:
        raise ConfigurationError(
            f"recipe elisa has no command {command}; use prepare or train: its run_dir is the checkpoint"
        )


if __name__ == "__main__":
    sys.exit(guarded(main, "python -m training"))
