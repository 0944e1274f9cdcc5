"""`lisa-ros record`: recordings to evaluate on, made on this machine."""

import argparse
from pathlib import Path

from lisa_ros.commands.common import output_directory, positive


def add_arguments(parser: argparse.ArgumentParser):
    """Arguments of `lisa-ros record`."""
    sources = parser.add_subparsers(dest="source", metavar="SOURCE", required=True)
    about = "film a simulated tabletop: .sens file, annotation, queries and bag in OUT/tabletopNNNN_00"
    tabletop = sources.add_parser("tabletop", help=about, description=about[0].upper() + about[1:] + ".")
    tabletop.add_argument("--out", type=Path, required=True, metavar="OUT", help="folder to write to")
    tabletop.add_argument("--scene", type=int, default=0, metavar="N", help="which scene (default: %(default)s)")
    tabletop.add_argument(
        "--frames", type=positive, default=60, metavar="N", help="at 30 a second (default: %(default)s)"
    )
    tabletop.add_argument("--queries", type=positive, default=12, metavar="N", help="questions (default: %(default)s)")
    tabletop.add_argument(
        "--ask-every", type=positive, default=10, metavar="N", help="ask in every Nth frame (default: %(default)s)"
    )
    tabletop.add_argument(
        "--depth-noise",
        default="none",
        metavar="MODEL",
        help="depth as of a real sensor: none, kinect or realsense (default: %(default)s)",
    )
    tabletop.add_argument(
        "--storage", default="mcap", choices=("mcap", "sqlite3"), help="format of the bag (default: %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Records. Returns the exit status."""
    from lisa_ros.scannet.tabletop import record_tabletop

    recording = record_tabletop(
        output_directory(args.out), args.scene, args.frames, args.queries, args.ask_every, args.storage, progress=True,
        depth_noise=args.depth_noise,
    )  # fmt: skip
    print(
        f"{recording.files.sens.parent}: {args.frames} frames; bag in {recording.bag}, queries in {recording.queries}"
    )
    return 0
