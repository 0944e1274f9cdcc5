"""What several commands share: the arguments that choose a model, and writing files."""

import argparse
import sys
from pathlib import Path

from lisa_ros.errors import ConfigurationError
from lisa_ros.named_values import named_values
from lisa_ros.writable_folders import can_write

PACKAGED_MODEL = "tabletop"


def add_model_arguments(
    parser: argparse.ArgumentParser,
    default: str | None = PACKAGED_MODEL,
    *,
    required: bool = False,
    unmerged: bool = True,
    generates: bool = True,
):
    """--model and what says how to load it, see `model_arguments`.

    required: a --model must be named. unmerged: with what un-merged weights need, and systems that choose among masks.
    generates: whether the command may generate answers, so that compiling may be worth its while.
    """
    group = parser.add_argument_group("model")
    group.add_argument(
        "--model",
        default=default,
        required=required,
        metavar="M",
        help="directory in LISA's published layout, hub id, or name of a packaged model"
        + (" (default: %(default)s)" if default else ""),
    )
    styles = "lisa, gsva, sesame, cores, instances, llmseg, elisa, ...: where the checkpoint does not tell it"
    group.add_argument("--style", metavar="S", help=styles)
    if unmerged:
        group.add_argument("--base", metavar="DIR", help="for a file of un-merged weights: the LLaVA it began with")
        group.add_argument("--sam-checkpoint", metavar="FILE", help="for ELISA, and un-merged weights without it")
        group.add_argument("--dinov2", metavar="FILE", help="LLM-Seg without it: DINOv2's weights")
        group.add_argument("--alphaclip", metavar="FILE", help="of an ELISA: AlphaCLIP, if not where its folder says")
        text = "LLM-Seg: rule, threshold, sizes, as rule=similarity,threshold=0.4"
        group.add_argument("--proposal-head", metavar="NAME=VALUE,..", help=text)
        text = "LLM-Seg, ELISA: how proposals are made, as points_per_side=16,limit=20 (default: as the system does)"
        group.add_argument("--proposal-options", metavar="NAME=VALUE,..", help=text)
    group.add_argument("--vision-tower", metavar="P", help="CLIP tower: directory or hub id, if not the checkpoint's")
    group.add_argument(
        "--precision",
        default="fp32",
        choices=("fp32", "bf16", "fp16", "int8", "int4", "nf4"),
        help="of the weights; int8, int4, nf4: of the language model's linear layers (default: %(default)s)",
    )
    group.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    group.add_argument(
        "--quality-calibration", metavar="FILE", help="what `lisa-ros eval --calibrate` made, if not in the checkpoint"
    )
    group.add_argument("--conv-type", metavar="T", help="conversation template, if not the checkpoint's")
    group.add_argument(
        "--threads",
        type=int,
        default=0,
        metavar="N",
        help="of the CPU for one operation; 0: torch's own choice, one for each core or OMP_NUM_THREADS (default: 0)",
    )
    if generates:
        group.add_argument(
            "--compile",
            default="auto",
            choices=("auto", "always", "never"),
            help="the language model's step, while it is loaded; auto: on a GPU (default: %(default)s)",
        )


def load_lisa(args: argparse.Namespace):
    """The `Lisa` that the arguments choose. Raises CheckpointError, ConfigurationError, MemoryBudgetError."""
    if sys.stderr.isatty():
        print(f"loading {args.model} ...", file=sys.stderr)
    from lisa_ros import Lisa

    return Lisa.from_pretrained(args.model, **model_arguments(args))


def model_arguments(args: argparse.Namespace) -> dict[str, object]:
    """What `Lisa.from_pretrained` takes beside the checkpoint; nothing for what was not given."""
    names = ("vision_tower", "device", "precision", "conv_type", "style", "base", "sam_checkpoint")
    names += ("dinov2", "alphaclip", "quality_calibration", "threads")
    given = {name: value for name in names if (value := getattr(args, name, None)) is not None}
    for name in ("proposal_head", "proposal_options"):
        if text := getattr(args, name, None):
            given[name] = named_values(text, f"--{name.replace('_', '-')}")
    return given | {"compile": getattr(args, "compile", "never")}


def output_directory(path: Path) -> Path:
    """Makes a directory to write to. Raises ConfigurationError where that is not possible."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"cannot write to {path}: {error.strerror}") from error
    if not can_write(path):
        raise ConfigurationError(
            f"cannot write to {path}: it belongs to {_owner(path)}, or its file system is read-only or full; name "
            "another folder (--out), or remove it"
        )
    return path


def _owner(path: Path) -> str:
    try:
        return f"user {path.owner()}"
    except KeyError:  # a number without an entry in this machine's list
        return f"user {path.stat().st_uid}"


def printable(text: str) -> str:
    """Text without control characters: a model's words must not steer the terminal."""
    return "".join(character for character in text if character.isprintable() or character == "\n")


def positive(word: str) -> int:
    """argparse type: a whole number of at least 1."""
    number = int(word)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not at least 1")
    return number


def scene_number(word: str) -> int:
    """argparse type: the number of a simulated scene, from 0."""
    number = int(word)
    if not 0 <= number < 1 << 32:
        raise argparse.ArgumentTypeError(f"{number} is not between 0 and 2^32")
    return number
