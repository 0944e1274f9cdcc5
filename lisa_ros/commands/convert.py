"""`lisa-ros convert`: any checkpoint that can be loaded, written in the one layout that node and commands read."""

import argparse
from pathlib import Path

from lisa_ros.commands.common import add_model_arguments, load_lisa, output_directory
from lisa_ros.errors import ConfigurationError


def add_arguments(parser: argparse.ArgumentParser):
    """Arguments of `lisa-ros convert`."""
    parser.add_argument("out", type=Path, metavar="DIR", help="where config.json, weights and tokenizer go")
    add_model_arguments(parser, default=None, required=True, generates=False)


def run(args: argparse.Namespace) -> int:
    """Loads, which merges adapters, and writes."""
    if args.precision in ("int8", "int4", "nf4"):
        raise ConfigurationError(f"--precision {args.precision}: packed weights cannot be written; choose fp32 or bf16")
    output_directory(args.out)
    lisa = load_lisa(args)
    from lisa_ros.model.saving import save_checkpoint

    save_checkpoint(lisa.model.checkpoint, args.out)
    print(f"{lisa.provenance}, style {lisa.network.config.style}: {args.out}")
    return 0
