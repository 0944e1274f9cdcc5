"""Training from the command line: `python -m training train|validate|merge|export --config FILE`.

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
        _run(args)
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
    return 0


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
    for stage in STAGES:
        command(stage, f"recipe tabletop: the same as train --stage {stage}")
    about = "recipe compare_styles: trains and scores styles with equal data, and writes a table"
    compare = command("compare-styles", about)
    compare.add_argument("--style", help="this style alone, without the table")
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
    return parser


def _add_accept(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--accept",
        action="append",
        default=[],
        metavar="NAME",
        help="recipe lora: a difference between checkpoint and configuration that is wanted, as base or lora.alpha",
    )


def _run(args: argparse.Namespace) -> None:
    from training.config.yaml_files import read_recipe

    if (args.command == "compare-styles") != (read_recipe(args.config) == "compare_styles"):
        raise ConfigurationError(f"{args.config}: recipe compare_styles and the command compare-styles belong together")
    if args.command == "compare-styles":
        _compare_styles(args)
        return
    stage = args.command if args.command in STAGES else getattr(args, "stage", None)
    command = "train" if args.command in STAGES else args.command
    if args.command in STAGES or read_recipe(args.config) == "tabletop":
        _run_tabletop(args, command, stage)
        return
    if stage:
        raise ConfigurationError(f"{args.config} is of recipe lora, which has no stage {stage}")
    from training import commands as run
    from training.config.train_config import load_config

    config = load_config(args.config)
    if command == "train":
        run.train(config, args.accept)
    elif command == "validate":
        run.validate_run(config, args.checkpoint, args.accept)
    else:
        run.merge(config, args.checkpoint, args.out, args.accept)


def _run_tabletop(args: argparse.Namespace, command: str, stage: str | None) -> None:
    from training.tabletop import joint, language, vision
    from training.tabletop.config import load_config

    if getattr(args, "accept", None):
        raise ConfigurationError("recipe tabletop begins with nothing: it has no base, and nothing to --accept")
    config = load_config(args.config)
    stages = {"vision": vision.train, "language": language.train, "tabletop": joint.train}
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


if __name__ == "__main__":
    sys.exit(guarded(main, "python -m training"))
