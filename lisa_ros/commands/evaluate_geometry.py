"""`lisa-ros eval geometry`: boxes and clouds against the simulator's truth, beside a plain recipe."""

import argparse
import json
import re
import time
from dataclasses import asdict
from pathlib import Path

from lisa_ros.commands.common import add_model_arguments, load_lisa, output_directory, positive, printable, scene_number

NAME = "geometry"
NO_MODEL = "none"


def add_parser(benchmarks) -> None:
    """The sub-command."""
    about = "boxes, widths and clouds of simulated objects against the truth, beside a plain recipe"
    parser = benchmarks.add_parser(NAME, help=about, description=about[0].upper() + about[1:] + ".")
    parser.add_argument("--scenes", type=positive, default=60, metavar="N", help="scenes (default: %(default)s)")
    parser.add_argument(
        "--seed", type=scene_number, default=0, metavar="S", help="number of the first scene (default: %(default)s)"
    )
    parser.add_argument(
        "--size", type=size, default="640x480", metavar="WxH", help="of the images (default: %(default)s)"
    )
    parser.add_argument(
        "--noise",
        default="kinect",
        choices=("kinect", "realsense"),
        help="sensor of the noisy depth (default: %(default)s)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the scores to this file")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write rows.jsonl, scores.json and report.html")
    add_model_arguments(parser)
    parser.epilog = f"--model {NO_MODEL}: true masks only."


def size(word: str) -> tuple[int, int]:
    """argparse type: "640x480" to (width, height)."""
    match = re.fullmatch(r"(\d{2,4})x(\d{2,4})", word)
    if not match or min(int(side) for side in match.groups()) < 16:
        raise argparse.ArgumentTypeError(f"{word!r} is no size: give WIDTHxHEIGHT, both from 16 to 9999")
    return int(match[1]), int(match[2])


def run(args: argparse.Namespace) -> int:
    """Measures, prints a table and writes the scores."""
    from lisa_ros.evaluation.files import write_json, write_text_atomically
    from lisa_ros.evaluation.geometry.box_report import summarise, table, write_page
    from lisa_ros.evaluation.geometry.evaluate_boxes import evaluate_geometry

    for directory in (args.json and args.json.parent, args.out):
        if directory:
            output_directory(directory)
    started = time.monotonic()
    lisa = None if args.model == NO_MODEL else load_lisa(args)
    numbers = range(args.seed, args.seed + args.scenes)
    rows = list(evaluate_geometry(numbers, args.size, args.noise, lisa, progress=True))
    summary = {
        "benchmark": NAME,
        "model": None if lisa is None else lisa.provenance,
        "noise": args.noise,
        "seed": args.seed,
        "scenes": args.scenes,
        "size": list(args.size),
    }
    cases = summarise(rows)
    summary |= cases | {"seconds": round(time.monotonic() - started, 1)}
    print(printable(table(cases)))
    if args.json:
        write_json(args.json, summary)
        print(f"scores in {args.json}")
    if args.out:
        lines = (json.dumps(asdict(row) | {"within": row.measure.within}) + "\n" for row in rows)
        write_text_atomically(args.out / "rows.jsonl", "".join(lines))
        write_json(args.out / "scores.json", summary)
        write_page(args.out / "report.html", summary, rows)
        print(f"report in {args.out / 'report.html'}")
    return 0
