"""Command line of the training code: `python -m training STAGE --config FILE`."""

import argparse
import sys
from pathlib import Path

from lisa_ros.errors import LisaError
from training.errors import TrainingError
from training.tabletop.settings import load_settings


def main() -> int:
    """Runs one stage; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument("stage", choices=("vision", "language", "tabletop", "export"))
    parser.add_argument("--config", type=Path, default=Path("config/training/tabletop.yaml"))
    parser.add_argument("--out", type=Path, help="export: directory of the checkpoint that `from_pretrained` loads")
    args = parser.parse_args()
    try:
        settings = load_settings(args.config)
        if args.stage == "vision":
            from training.tabletop.vision import train

            train(settings)
        elif args.stage == "language":
            from training.tabletop.language import train

            train(settings)
        elif args.stage == "tabletop":
            from training.tabletop.joint import train

            train(settings)
        else:
            from training.tabletop.joint import export

            if args.out is None:
                parser.error("export needs --out DIR")
            export(settings, args.out)
    except (LisaError, TrainingError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
